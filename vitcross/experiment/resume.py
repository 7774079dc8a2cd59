"""Checks the command that resumes a run, and finds the checkpoint from which it resumes.

A run is resumed by `resume=FOLDER`, or by typing its folder again as `hydra.run.dir`.
"""

from pathlib import Path

from vitcross.config import compose
from vitcross.experiment import run_folder
from vitcross.experiment.data_contents import check_place
from vitcross.paths import typed_path
from vitcross.terminal import say

# The optimizer's state is that of the parameters that were trained.
FIXED_ON_RESUME = ("optimizer.frozen:", "optimizer._target_:")


def resume(overrides):
    """`resume=FOLDER`: the run's own configuration, and what is typed beside it.

    Args:
        overrides: list of str.

    Returns:
        `vitcross.experiment.run_folder.Command`; exits with status 0 where the run has finished.

    Raises:
        ValueError: where that cannot be, or would be another experiment.
    """
    folder = typed_path(compose.typed_value(overrides, "resume"))
    if compose.typed_value(overrides, "hydra.run.dir") is not None:
        raise ValueError("resume writes into the folder of its run; hydra.run.dir cannot be typed beside it")
    allowed = compose.typed_value(overrides, "allow_changes")
    if allowed not in (None, True, False):
        raise ValueError(f"allow_changes must be true or false. Received: allow_changes={allowed}")
    rest = [o for o in overrides if o.partition("=")[0] not in ("resume", "allow_changes")]
    before, now = compose.resumed(folder, rest)
    now |= {"allow_changes": bool(allowed)}
    return _resume(folder, run_folder.read_choices(folder, before), before, now, bool(allowed))


def resume_same_folder(folder, settings, choices):
    """The folder of a run typed as that of a new one: the same run is resumed, another one is refused.

    Args:
        settings: dict, the validated configuration that was typed.
        choices: dict of group to option name.

    Returns, raises: as `resume`.
    """
    if not (Path(folder) / "config.yaml").exists():
        raise ValueError(f"hydra.run.dir must be a folder without a run. Received: {folder}, which holds half of one")
    return _resume(folder, choices, compose.read_run(folder), settings, settings["allow_changes"])


def _resume(folder, choices, before, now, allowed):
    changes = run_folder.differences(before, now)
    if changes and not allowed:
        raise ValueError(
            f"{folder} holds a run with other settings; use another folder for another run, or type allow_changes=true "
            "to resume with these changes:\n  " + "\n  ".join(changes)
        )
    if frozen := [change for change in changes if change.startswith(FIXED_ON_RESUME)]:
        raise ValueError(
            f"what is trained cannot change on the way, not even with allow_changes=true: {'; '.join(frozen)}"
        )
    run_folder.lock(folder)
    summary = run_folder.finished(folder)
    if summary and not changes:
        best = f"{summary.get('best/metric')} {summary.get('best/value')} in {summary.get('best/checkpoint')}"
        say(f"the run in {folder} has finished at step {summary.get('steps')}, best {best}: nothing is left to do")
        raise SystemExit(0)
    check_place(now["data"])
    for change in changes:
        say(f"changed     {change}")
    return run_folder.Command(settings=now, choices=choices, folder=Path(folder), resume=True)


def find_checkpoint(checkpoints, folder):
    """`(path, (step, rows))`: from where a run resumes; path None and step 0 where it has no usable checkpoint."""
    from vitcross.sinks.local_files import count_rows
    from vitcross.training.checkpoint import read_header

    path = checkpoints.newest(count_rows(folder), report=say)
    if path is None:
        say("resume      no checkpoint: the run starts at step 0")
        return None, (0, 0)
    header = read_header(path)
    say(f"resume      at step {header['step']}, from {path}")
    return path, (header["step"], header["progress"]["rows"])


def with_own_tokenizer(config, path):
    """The configuration with the tokenizer that the run already has, if any, so that none is trained again."""
    return config | {"data": config["data"] | {"tokenizer": str(path)}} if path.is_file() else config
