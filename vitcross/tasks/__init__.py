"""Exports the tasks: forward pass, loss and metrics of what a model is trained for."""

from vitcross.tasks.captioning import Captioning
from vitcross.tasks.classification import Classification
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.contrastive_losses import sigmoid_contrastive_loss, softmax_contrastive_loss
from vitcross.tasks.multilabel import Multilabel
from vitcross.tasks.question_answering import QuestionAnswering
from vitcross.tasks.zero_shot import class_embeddings, zero_shot_accuracy

__all__ = [
    "Captioning",
    "Classification",
    "Contrastive",
    "Multilabel",
    "QuestionAnswering",
    "class_embeddings",
    "sigmoid_contrastive_loss",
    "softmax_contrastive_loss",
    "zero_shot_accuracy",
]
