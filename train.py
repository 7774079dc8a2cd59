"""Train a model and watch where it looks: `python train.py --help`."""

import sys
import time

STARTED = time.perf_counter()  # before the imports, which take a share of the time to the first step

from vitcross.command_line.process import configure_logging, exit_after, quiet_start, report_errors
from vitcross.command_line.train import header, how_to_resume, is_sweep, prepare_train
from vitcross.experiment.build import build_training
from vitcross.keras_settings import set_keras
from vitcross.sweep import command as sweep_command


def train(command):
    """Run what was typed, in this process; returns its exit status."""
    configure_logging()
    print(header(command), flush=True)
    with report_errors(command.folder):
        print("starting TensorFlow ...", flush=True)
        with quiet_start():
            from vitcross.training.device import describe_device
            from vitcross.training.guards import StopOnSignal
            from vitcross.training.run import train_and_close

            set_keras()
            describe_device()  # TensorFlow looks for devices now
        with StopOnSignal() as stop_on_signal:
            return train_and_close(**build_training(command, stop_on_signal=stop_on_signal, started=STARTED))


def main(arguments):
    """A run, or many of them in processes of their own; returns the exit status."""
    if is_sweep(arguments):
        return sweep_command.main(__file__, arguments)
    command = prepare_train(arguments)
    with how_to_resume(sys.argv[0], command.folder):
        sys.exit(train(command))


if __name__ == "__main__":
    exit_after(main, sys.argv[1:])
