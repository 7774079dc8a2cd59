"""Computes metrics of answers, each question counted once. n questions, A annotators."""

import numpy as np

UNKNOWN = -1  # an answer that is no class of the model


def vqa_accuracy(predictions_n, annotator_answers_nA, num_annotators_n=None):
    """The VQA rule for several annotators, mean over questions, in [0, 1].

    An answer scores by the number of annotators who gave it, up to three, averaged over leaving one annotator out:
    `mean_a min(#{b != a that gave the predicted answer} / 3, 1)`.

    Args:
        predictions_n: `(n,)` int.
        annotator_answers_nA: `(n, A)` int; -1 = an answer that is none of the model's, which no prediction can match.
        num_annotators_n: `(n,)` int, how many of the A there are for each question; None = all A for each.

    Reference: Antol et al. 2015, arXiv 1505.00468, section 3; leaving one out as in the evaluation of the VQA
    challenge.
    """
    num_annotators = annotator_answers_nA.shape[1]
    counts_n = np.full(len(predictions_n), num_annotators) if num_annotators_n is None else np.asarray(num_annotators_n)
    asked_nA = np.arange(num_annotators) < counts_n[:, None]
    same_nA = (annotator_answers_nA == predictions_n[:, None]) & asked_nA
    others_nA = same_nA.sum(axis=1, keepdims=True) - same_nA
    return float(np.mean((np.minimum(others_nA / 3.0, 1.0) * asked_nA).sum(axis=1) / np.maximum(counts_n, 1)))


def summarize(rows, references=None):
    """Scalars that training logs as `val/<name>`.

    Args:
        rows: dict of arrays over the same n questions: `predictions`, `labels` (-1 = an answer that training does not
            know: wrong, whatever is predicted), `losses` (nan there), perhaps `question_type`, `annotator_answers`.
        references: `question_types`, the names of the types, and `answers(index)`, the answers of a question's
            annotators (`vitcross.tasks.evaluation.evaluate`); None: types go by their numbers, and there are always A
            annotators.

    Returns:
        dict of float: `loss` (mean over known answers; where there are any), `accuracy`, `accuracy/<type>`,
        `vqa_accuracy`.
    """
    known = rows["labels"] != UNKNOWN
    correct = (rows["predictions"] == rows["labels"]) & known
    values = {"loss": float(rows["losses"][known].mean(dtype=np.float64))} if known.any() else {}
    values["accuracy"] = float(correct.mean())
    for kind in np.unique(rows["question_type"]) if "question_type" in rows else ():
        name = f"type_{kind}" if references is None else references.question_types[kind]
        values[f"accuracy/{name}"] = float(correct[rows["question_type"] == kind].mean())
    if "annotator_answers" in rows:
        counts = None if references is None else [len(references.answers(int(index))) for index in rows["index"]]
        values["vqa_accuracy"] = vqa_accuracy(rows["predictions"], rows["annotator_answers"], counts)
    return values


def report(rows, class_names, references=None):
    """The full record that `evaluate.py` writes: `summarize`, counts, accuracy per answer (None without a question)."""
    correct = rows["predictions"] == rows["labels"]
    per_answer = {
        name: float(correct[rows["labels"] == k].mean()) if (rows["labels"] == k).any() else None
        for k, name in enumerate(class_names)
    }
    return {
        **summarize(rows, references),
        "examples": len(correct),
        "unknown_answers": int((rows["labels"] == UNKNOWN).sum()),
        "accuracy_per_class": per_answer,
    }


def predictions(rows, class_names, text=None):
    """`(columns, lines)`: the answer to each question, its probability, the true answer, and whether they agree.

    Args:
        text: None, or a function from an example's index to its question.
    """
    lines = []
    for n, (predicted, label) in enumerate(zip(rows["predictions"], rows["labels"], strict=True)):
        right = "" if label == UNKNOWN else class_names[label]
        line = [class_names[predicted], float(rows["confidence"][n]), right, int(predicted == label)]
        lines.append(line if text is None else [text(int(rows["index"][n])), *line])
    columns = ["prediction", "probability", "label", "correct"]
    return columns if text is None else ["question", *columns], lines
