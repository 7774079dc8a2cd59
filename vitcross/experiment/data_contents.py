"""Keeps what data a run saw in `data.json` of its folder, and holds data that is opened again against it.

The place of the data is no part of an experiment: it may be typed anew; its contents are.
"""

import json
from pathlib import Path

from vitcross import atomic_files
from vitcross.config.check_files import check_files
from vitcross.config.compatibility import ConfigError
from vitcross.terminal import say

FILE = "data.json"
# Keys of `data` that say where it is.
PLACES = ("root", "file", "data_dir")
MOST_NAMES = 5  # of classes in a message


class OtherDataError(ConfigError):
    """The data is not what the run saw."""

    exit_status = 2  # what was typed is wrong: nothing has begun


def with_places(data, typed):
    """The data section of a run with the places that were typed for `evaluate.py`.

    Args:
        data: dict, of the run.
        typed: dict of key to path; None: as in the run.

    Raises:
        ConfigError: the data of this run has no such place.
    """
    typed = {name: path for name, path in typed.items() if path is not None}
    if wrong := [name for name in typed if name not in data]:
        known = ", ".join(f"data.{name}" for name in PLACES if name in data)
        received = f"data.{wrong[0]}={typed[wrong[0]]}"
        raise ConfigError(f"the data of this run has no key '{wrong[0]}'; its place is {known}. Received: {received}")
    return data | typed | {"num_classes": None}  # the classes themselves are compared


def check_place(data):
    """The user's own files are where the configuration of a run says; their classes are compared later.

    Raises:
        ConfigError: says what to type.
    """
    try:
        check_files(data | {"num_classes": None})
    except ConfigError as error:
        places = [name for name in ("root", "file") if data.get(name) is not None]
        moved = " ".join(f"data.{name}=PATH" for name in places if not Path(data[name]).exists())
        hint = f"\nIf the data has moved, type its new place: {moved}" if moved else ""
        raise ConfigError(f"{error}{hint}") from error


def describe(data, splits=None):
    """What `data.json` keeps of a `vitcross.data.image_data.ImageData`; `splits` None: of all."""
    splits = {split: data.source(split) for split in splits or data.splits}
    return {
        "class_names": list(data.class_names),
        "splits": {
            split: {"examples": len(source), "fingerprint": source.fingerprint()} for split, source in splits.items()
        },
    }


def check(folder, data, *, allow_changes=False):
    """What is to be kept of the data of a run; where it is resumed, it is compared with what is kept.

    Raises:
        OtherDataError: other classes than before; other contents, unless `allow_changes`: then they are said.
    """
    before, now = read(folder), describe(data)
    changes = differences(before, now) if before else []
    if before and before["class_names"] != now["class_names"]:
        raise OtherDataError(f"the classes of a run cannot change, not even with allow_changes=true: {changes[0]}")
    if changes and not allow_changes:
        raise OtherDataError(
            f"the data is not what the run in {folder} saw: type its place (data.root, data.file or data.data_dir), or "
            "allow_changes=true to resume with these changes:\n  " + "\n  ".join(changes)
        )
    for change in changes:
        say(f"changed     data: {change}")
    return now


def keep(folder, contents):
    """Write what data a run sees into its folder."""
    atomic_files.write_text(Path(folder) / FILE, json.dumps(contents, ensure_ascii=False, indent=1) + "\n")


def compare(folder, data, split, class_names):
    """Say how the split that is evaluated differs from what the run saw.

    Raises:
        OtherDataError: the classes are not `class_names`, those of the model.
    """
    before, now = read(folder), describe(data, [split])
    if change := _other_classes(list(class_names), now["class_names"]):
        raise OtherDataError(f"the data must have the classes of the run in {folder}: {change}")
    for change in differences(before, now, splits=[split]) if before else ():
        say(f"data        not what the run saw: {change}")


def read(folder):
    """What the run in a folder saw, or None."""
    try:
        kept = json.loads((Path(folder) / FILE).read_text())
        return kept if {"class_names", "splits"} <= kept.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def differences(before, now, splits=None):
    """What differs, one line each, of two descriptions; `splits` None: all."""
    found = [change] if (change := _other_classes(before["class_names"], now["class_names"])) else []
    for split in splits or sorted(before["splits"].keys() | now["splits"].keys()):
        old, new = before["splits"].get(split), now["splits"].get(split)
        if old is None or new is None:
            found.append(f"{split}: {'there was none' if old is None else 'there is none now'}")
        elif old["examples"] != new["examples"]:
            found.append(f"{split}: {old['examples']} examples -> {new['examples']}")
        elif old["fingerprint"] != new["fingerprint"]:
            found.append(f"{split}: {new['examples']} examples as before, but other names, sizes, labels or contents")
    return found


def _other_classes(before, now):
    if before == now:
        return None
    lost, added = ([name for name in a if name not in b] for a, b in ((before, now), (now, before)))
    parts = [f"{word} {_listed(names)}" for word, names in (("without", lost), ("new", added)) if names]
    return f"classes: {'; '.join(parts) or 'the same ones in another order'}"


def _listed(names):
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
