"""What Optuna proposes next, from the trials so far: the only file that knows Optuna.

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
    """Values that no trial has had yet, as a dict of key to text; None where there are none left.

    It follows from the seed, the number of the trial and the trials before it alone: a sweep that was stopped goes on
    with what it would have proposed.

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
        # The same values give the same run.
        if record.find(values) is None:
            return values
    # In a small space what is left may be unlikely.
    return next((v for v in sweep.grid() if record.find(v) is None), None) if _listed(sweep) else None


def _listed(sweep):
    return all(isinstance(part, Values) for part in sweep.space.values())


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
    # To TPE a trial in state FAIL never happened; a pruned one without values is worse than all that have one.
    return create_trial(params=params, distributions=distributions, state=TrialState.PRUNED)
