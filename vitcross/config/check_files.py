"""Checks the user's own files before TensorFlow starts, by listing them."""

from vitcross.config.compatibility import ConfigError
from vitcross.data.problems import TextProblems, TooManyUnreadable
from vitcross.data.sources.image_folder import list_image_folder
from vitcross.data.sources.pairs_file import PAIRS_KEYS, list_pairs
from vitcross.options.data import SHARES


def check_files(data):
    """Checks the user's own files by listing them: they exist, hold what they must, and the number of classes is right.

    Raises:
        ConfigError
    """
    lister = {
        "vitcross.data.load.image_folder": _folder_classes,
        "vitcross.data.load.pairs": _pair_classes,
    }.get(data["_target_"])
    if lister is None:
        return
    try:
        found, what = lister(data)
    except (ValueError, OSError, TooManyUnreadable) as error:
        raise ConfigError(str(error)) from error
    if data["num_classes"] not in (None, found):
        raise ConfigError(f"data.num_classes must be the {found} {what}. Received: {data['num_classes']}")


def _folder_classes(data):
    listing = list_image_folder(data["root"], **{key: data[key] for key in SHARES})
    return len(listing.class_names), f"class folders of {data['root']}"


def _pair_classes(data):
    listing = list_pairs(data["file"], problems=TextProblems(), **{key: data[key] for key in (*SHARES, *PAIRS_KEYS)})
    return len(listing.class_names), f"categories or answers of {data['file']}"
