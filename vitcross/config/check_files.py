"""Checks the user's own files before TensorFlow starts, by listing them."""

import functools

from vitcross.config.compatibility import ConfigError, check_labels
from vitcross.config.schema import SCHEMAS
from vitcross.config.typed_keys import key_of
from vitcross.data.problems import TextProblems, TooManyUnreadable
from vitcross.data.sources.huggingface_open import import_datasets
from vitcross.data.sources.image_folder import list_image_folder
from vitcross.data.sources.labels_file import LABELS_KEYS, list_labels
from vitcross.data.sources.pairs_file import PAIRS_KEYS, list_pairs
from vitcross.options.data import SHARES, ImageFolderOptions

_HUGGING_FACE = {  # what each of them reads
    "vitcross.data.load.huggingface": "labels",
    "vitcross.data.load.huggingface_captions": "captions",
    "vitcross.data.load.huggingface_questions": "questions",
}


def check_files(data, config=None, overrides=()):
    """Checks the user's own files by listing them: they exist, hold what they must, and the number of classes is right.

    Args:
        data: dict, a section of a configuration.
        config: dict or None, the whole of it: a table must have as many labels per image as the task takes.
        overrides: list of str as typed; a share that is not cut off, since its split has a folder, is refused.

    Raises:
        ConfigError
    """
    lister = {
        "vitcross.data.load.image_folder": functools.partial(_folder_classes, typed=set(map(key_of, overrides))),
        "vitcross.data.load.labels_file": _table_classes,
        "vitcross.data.load.pairs": _pair_classes,
        **dict.fromkeys(_HUGGING_FACE, _hugging_face_classes),
    }.get(data["_target_"])
    if lister is None:
        return
    try:
        found, what, *several = lister(data)
    except (ValueError, OSError, TooManyUnreadable) as error:
        raise ConfigError(str(error)) from error
    if several and config is not None:
        check_labels(config, several[0])
    if found is not None and data["num_classes"] not in (None, found):
        raise ConfigError(f"data.num_classes must be the {found} {what}. Received: {data['num_classes']}")


def _check_shares(data, own, typed):
    """A share has an effect, and the seed that chooses it, only where the split has no folder of its own (`own`)."""
    idle = {f"{split}_share" for split in own - {"train"}}
    idle |= {"split_seed"} if "validation" in own and ("test" in own or not data["test_share"]) else set()
    for key in sorted(idle):
        if f"data.{key}" in typed and data[key] != getattr(ImageFolderOptions(root="."), key):
            folders = ", ".join(sorted(own))
            raise ConfigError(
                f"data.{key} has no effect: {data['root']} has folders of its own for {folders}. "
                f"Received: data.{key}={data[key]}"
            )


def _folder_classes(data, typed):
    listing = list_image_folder(data["root"], **{key: data[key] for key in SHARES})
    _check_shares(data, set(listing.own_splits), typed)
    return len(listing.class_names), f"class folders of {data['root']}"


def _table_classes(data):
    listing = list_labels(data["file"], **{key: data[key] for key in (*SHARES, *LABELS_KEYS)})
    return len(listing.class_names), f"labels of {data['file']}", listing.multilabel


def _pair_classes(data):
    listing = list_pairs(data["file"], problems=TextProblems(), **{key: data[key] for key in (*SHARES, *PAIRS_KEYS)})
    return len(listing.class_names), f"categories or answers of {data['file']}"


def _hugging_face_classes(data):
    """Checks the names of splits and columns; only named classes are known before the set is prepared."""
    import_datasets()
    from vitcross.data.sources import huggingface_set  # imports Arrow, which need not be installed

    options = SCHEMAS["data"][data["_target_"]](**{key: value for key, value in data.items() if key != "_target_"})
    reads = "several labels" if data.get("multilabel") else _HUGGING_FACE[data["_target_"]]
    found = huggingface_set.check(options, reads)
    return found, f"classes of {data['root'] or data['name']}"
