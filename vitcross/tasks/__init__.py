"""Tasks: forward pass, loss and metrics of what a model is trained for."""

from vitcross.tasks.classification import Classification

__all__ = ["Classification"]
