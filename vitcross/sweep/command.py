"""Runs `python train.py -m ...`: checks what was typed, runs the trials one by one, and reports."""

import sys
import time

from vitcross.command_line.arguments import split_arguments, with_latest
from vitcross.command_line.process import fail
from vitcross.command_line.train import MULTIRUN_FLAGS, shell_line
from vitcross.config import compose
from vitcross.config.check_files import check_files
from vitcross.config.typed_text import quote
from vitcross.experiment import run_folder
from vitcross.experiment.init_from import check_init_from
from vitcross.experiment.run_folder import claim_folder
from vitcross.keras_settings import check_keras
from vitcross.paths import typed_path
from vitcross.sweep.process import Signals, outcome, stopped_by
from vitcross.sweep.record import has_record, open_record
from vitcross.sweep.report import failures, header, print_results, write_report
from vitcross.terminal import printable, say


def main(script, arguments):
    """Run a sweep; exit with status 2 and one message if what was typed is wrong.

    Args:
        script: path of `train.py`.
        arguments: list of str, `sys.argv[1:]`, with `-m` or `--multirun` among them.

    Returns:
        int, exit status: 0, 1 with failed trials, 128 + number of the signal that ended it.
    """
    overrides, flags = split_arguments([quote(argument, "train", sweep=True) for argument in with_latest(arguments)])
    try:
        check_keras()
        if others := [flag for flag in flags if flag not in MULTIRUN_FLAGS]:
            raise ValueError(f"a sweep accepts no flag besides -m. Received: {' '.join(others)}")
        if compose.typed_value(overrides, "resume") is not None:
            raise ValueError(
                "resume continues a single run; to continue a sweep, type it again with its hydra.sweep.dir"
            )
        sweep = compose.read_sweep(overrides)
        folder = compose.typed_value(overrides, "hydra.sweep.dir")
        folder = None if folder is None else typed_path(folder)
        for settings, _ in compose.check_trials(sweep):
            check_files(settings["data"], settings, overrides)
            if folder is None or not has_record(folder):  # trials that have begun no longer need it
                check_init_from(settings)
        folder = folder or claim_folder("multirun")
        run_folder.lock(folder)
        record = open_record(folder, sweep)
    except (ValueError, OSError) as error:
        fail(str(error))
    status = run(script, record)
    if status > 128:
        again = [argument for argument in arguments if not argument.startswith("hydra.sweep.dir=")]
        say(f"resume with: {shell_line(sys.argv[0], *again, f'hydra.sweep.dir={folder}')}", file=sys.stderr)
    return status


def run(script, record):
    """Run the remaining trials of a sweep one after the other and report; returns the exit status."""
    print(header(record), flush=True)
    stopped = None
    with Signals() as signals:
        for trial in upcoming(record):
            status = run_trial(script, record, trial, signals)
            write_report(record)
            stopped = signals.received or stopped_by(status)
            if stopped is not None:
                break
        write_report(record)
        print_results(record)
    if stopped is not None:
        return 128 + stopped
    if failed := failures(record):
        print(failed, file=sys.stderr)
    return 1 if failed else 0


def upcoming(record):
    """Yields the trials to run; the next one may depend on how the one before ended.

    Finished trials are not repeated, stopped ones are resumed, failed ones are run again.
    """
    return _grid(record) if record.sweep.sweeper == "basic" else _optuna(record)


def _grid(record):
    begun = set()
    for values in record.sweep.grid():
        trial = record.find(values) or record.add(values)
        if trial.state != "finished" and trial.number not in begun:
            begun.add(trial.number)
            yield trial


def _optuna(record):
    from vitcross.sweep.optuna_proposals import propose

    yield from [trial for trial in record.trials if trial.state != "finished"]
    while len(record.trials) < record.sweep.options["n_trials"]:
        values = propose(record)
        if values is None:
            print(f"all {len(record.trials)} combinations have been tried", flush=True)
            return
        yield record.add(values)


def run_trial(script, record, trial, signals):
    """Run one trial in its own process and note how it ended; returns its exit status."""
    overrides, folder = record.sweep.overrides(trial.values), record.trial_folder(trial)
    swept = " ".join(f"{key}={text}" for key, text in trial.values.items())
    print(f"\ntrial {trial.number}: {printable(swept)}", flush=True)
    trial.state, trial.note = "running", ""
    write_report(record)
    try:
        compose.check_arguments("train", overrides)  # only the corners of Optuna's space have been checked
    except ValueError as error:
        trial.state, trial.note = "failed", str(error)
        say(f"trial {trial.number} cannot be run: {error}; the sweep continues", file=sys.stderr)
        return 2
    began = time.perf_counter()
    status = signals.run([sys.executable, str(script), *overrides, quote(f"hydra.run.dir={folder}", "train")])
    seconds = time.perf_counter() - began
    ended = outcome(folder, status)
    trial.state, trial.value, trial.note = ended.state, ended.value, ended.note
    trial.minutes += seconds / 60
    if ended.state == "finished" and record.metric and _base(ended.metric) != _base(record.metric):
        trial.state, trial.value = "failed", None
        trial.note = f"it is judged by {ended.metric}, the trials before it by {record.metric}"
        say(f"trial {trial.number}: {trial.note}; the sweep continues", file=sys.stderr)
    elif ended.state == "finished":
        record.metric, record.mode = record.metric or ended.metric, record.mode or ended.mode
        print(f"trial {trial.number}: {ended.metric} {ended.value:.4f} after {seconds:.0f} s", flush=True)
    elif ended.state == "failed":
        how = f"ended with exit status {status}: {ended.note}"
        say(f"trial {trial.number} {how}; the sweep continues", file=sys.stderr)
    return status


def _base(metric):
    """The metric without the ending of averaged weights, so that trials with and without an average are comparable."""
    return metric.removesuffix("_ema")
