"""Many runs of one command, `python train.py -m ...`: what is swept, one process per trial, and what came out of it.

Imports nothing heavy: the trials have TensorFlow, their parent only waits.
"""
