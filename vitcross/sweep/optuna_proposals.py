"""Asks Optuna for the next values, given the trials so far; the only file that imports Optuna.

Reference: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011 (TPE);
    https://optuna.readthedocs.io, the ask-and-tell interface.
"""

import zlib

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from vitcross.config.search_space import Values

optuna.logging.set_verbosity(optuna.logging.WARNING)
ATTEMPTS = 20


def propose(record):
    """Values that no trial has had yet, as a dict of key to text; None if there are none left.

    They depend only on the seed, the number of the trial and the trials before it, so that a resumed sweep proposes the
    same values as one that was not stopped.

    Args:
        record: `vitcross.sweep.record.Record`.
    """
    sweep = record.sweep
    if len(record.trials) >= sweep.size():
        return None
    distributions = {key: _distribution(part) for key, part in sweep.space.items()}
    past = [_past(trial, sweep.space, distributions) for trial in record.trials]
    for attempt in range(ATTEMPTS):
        seed = zlib.crc32(repr((sweep.options["seed"], len(record.trials), attempt)).encode())
        study = optuna.create_study(
            direction="minimize" if record.mode == "min" else "maximize", sampler=_sampler(sweep.options, seed)
        )
        study.add_trials(past)
        params = study.ask(distributions).params
        values = {key: _text(part, params[key]) for key, part in sweep.space.items()}
        if record.find(values) is None:  # the same values would give the same run
            return values
    # In a small space the remaining values may be improbable: take the first of them.
    is_listed = all(isinstance(part, Values) for part in sweep.space.values())
    return next((v for v in sweep.grid() if record.find(v) is None), None) if is_listed else None


def _sampler(options, seed):
    if options["sampler"] == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=options["n_startup_trials"])


def _distribution(part):
    if not isinstance(part, Values):
        kind = IntDistribution if part.integer else FloatDistribution
        return kind(part.low, part.high, log=part.log)
    if part.ordered:
        return IntDistribution(0, len(part.texts) - 1)  # positions, so that neighbors are alike
    return CategoricalDistribution(tuple(dict.fromkeys(part.texts)))


def _text(part, param):
    if not isinstance(part, Values):
        return part.text(param)
    return part.texts[param] if part.ordered else param


def _param(part, text):
    if not isinstance(part, Values):
        return int(text) if part.integer else float(text)
    return part.texts.index(text) if part.ordered else text


def _past(trial, space, distributions):
    params = {key: _param(part, trial.values[key]) for key, part in space.items()}
    if trial.state == "finished":
        return create_trial(params=params, distributions=distributions, value=trial.value)
    # TPE ignores trials in state FAIL; a pruned one without values counts as worse than all that have a value.
    return create_trial(params=params, distributions=distributions, state=TrialState.PRUNED)
