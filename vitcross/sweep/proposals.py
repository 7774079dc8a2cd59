"""Which trials a sweep runs, in which order: those that are left of it, then new ones."""


def upcoming(record):
    """The trials that are to be run, one by one: the next one may depend on how the one before ended.

    Finished trials are not repeated; one that was stopped goes on, and one that failed is tried again.
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
