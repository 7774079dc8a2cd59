"""Runs a sweep, `python train.py -m ...`: one process per trial. The parent process imports nothing heavy."""
