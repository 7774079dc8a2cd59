"""Train a model and watch where it looks: `python train.py --help`."""

import sys
import time

STARTED = time.perf_counter()  # before the imports, which take a share of the time to the first step

import hydra
from hydra.core.hydra_config import HydraConfig

from vitcross.command_line.process import configure_logging, quiet_start, report_errors
from vitcross.command_line.train import header, is_sweep, prepare_train, run_name
from vitcross.config import compose
from vitcross.experiment import build, run_folder
from vitcross.sweep import command as sweep_command


@hydra.main(version_base=None, config_path="conf", config_name="train")
def run(composed):
    job = HydraConfig.get()
    folder, choices = job.runtime.output_dir, dict(job.runtime.choices)
    settings = compose.resolve(composed)
    run_folder.begin(folder, compose.as_yaml(settings), choices)
    return sys.exit(train(settings, choices, folder))


def train(settings, choices, folder, resume=False):
    """One run in this process; returns its exit status."""
    configure_logging()
    print(header(settings, choices, folder), flush=True)
    with report_errors(folder):
        print("starting TensorFlow ...", flush=True)
        with quiet_start():
            from vitcross.training.device import describe_device
            from vitcross.training.guards import StopOnSignal
            from vitcross.training.run import train_and_close

            describe_device()  # TensorFlow looks for devices now
        with StopOnSignal() as stop_on_signal:
            name = run_name(choices)
            parts = build.build_training(
                settings, name=name, folder=folder, stop_on_signal=stop_on_signal, started=STARTED, resume=resume
            )
            return train_and_close(**parts)


if __name__ == "__main__":
    if is_sweep(sys.argv[1:]):
        sys.exit(sweep_command.main(__file__, sys.argv[1:]))
    sys.argv[1:], resumed = prepare_train(sys.argv[1:])
    if resumed is not None:
        sys.exit(train(resumed.settings, resumed.choices, resumed.folder, resume=True))
    run()
