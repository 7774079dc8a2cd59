"""Training: Keras `fit` under a thin trainer, optimizer rules, checkpoints, guards."""
