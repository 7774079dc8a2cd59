"""Opens data sets of Hugging Face's `datasets`: of the Hub, of its cache, and local folders and files; runs none of
their code.

What is opened is memory-mapped. Parquet, CSV, JSON, image folders and tars become Arrow files in Hugging Face's cache
first (HF_DATASETS_CACHE), once; folders of `save_to_disk` are read where they are.
"""

import contextlib
import dataclasses
import glob
import logging
import os
import re
import sys

from vitcross.data.sources.preflight import no_answer
from vitcross.paths import typed_path

logger = logging.getLogger(__name__)
FORMATS = {
    ".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json",
    ".ndjson": "json", ".tar": "webdataset",
}  # fmt: skip
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HUB_TIMEOUT = 8.0
_offline = "HF_HUB_OFFLINE is set"  # why the Hub is not asked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a data set is: `key` and `typed` name it in messages.

    Attributes:
        name: str, the short name of the set.
        folder: str or None, the local folder to which paths of images are relative; None: the set is on the Hub.
        files: list of str, the local files; [] for a whole folder.
    """

    key: str
    typed: str
    name: str
    folder: str | None = None
    files: list[str] = dataclasses.field(default_factory=list)


def find_place(name, root):
    """The `Place` of `data.root` (a folder, a file or a pattern of files), else of `data.name` (the same, or a name on
    the Hub). Raises ValueError if there is none.
    """
    if root is None and name is None:
        raise ValueError(
            "data.name must name a data set of the Hugging Face Hub (data.name=ORG/NAME), or data.root a folder or "
            "file. Received: neither"
        )
    key, typed = ("data.root", root) if root is not None else ("data.name", name)
    path = typed_path(typed)
    if os.path.isdir(path):
        return Place(key=key, typed=typed, name=os.path.basename(path), folder=path)
    files = [path] if os.path.isfile(path) else _matching(path)
    if files:
        endings = sorted({os.path.splitext(file)[1].lower() for file in files})
        if len(endings) > 1 or endings[0] not in FORMATS:
            raise ValueError(f"{key} must name files of one ending of {', '.join(FORMATS)}. Received: {typed}")
        stem = os.path.splitext(os.path.basename(files[0]))[0]
        return Place(key=key, typed=typed, name=stem, folder=os.path.dirname(files[0]), files=files)
    if root is not None or is_path(typed) or not _HUB_NAME.fullmatch(typed):
        rule = "an existing folder, file or pattern of files" + ("" if root is not None else ", or ORG/NAME on the Hub")
        raise ValueError(f"{key} must be {rule}. Received: {typed}")
    return Place(key=key, typed=typed, name=typed)


def _matching(pattern):
    """The sorted files of a pattern; a folder that exists stands for itself, whatever its name."""
    folder = os.path.dirname(pattern)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    rest = os.path.relpath(pattern, folder)
    return sorted(filter(os.path.isfile, glob.glob(os.path.join(glob.escape(folder), rest), recursive=True)))


def is_path(name):
    """Whether a `data.name` is a path: it exists, looks like one, or has an ending of files."""
    if name is None:
        return False
    ending = os.path.splitext(name)[1].lower()
    return name.startswith((".", "/", "~", "$")) or ending in FORMATS or os.path.exists(typed_path(name))


def import_datasets():
    """The package `datasets`, which keeps quiet: its bars are shown on a terminal only."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"data=huggingface needs the package datasets: pip install 'vitcross[huggingface]'. Received: {error}"
        ) from None
    datasets.logging.set_verbosity(logging.CRITICAL)  # it raises its errors, too
    if not sys.stderr.isatty():
        with contextlib.suppress(Exception):  # the environment may insist on bars
            datasets.disable_progress_bars()
    return datasets


def look(place, *, config_name=None, revision=None):
    """`(split names, Features)` of a data set without preparing it.

    Raises:
        ValueError: if it cannot be opened.
        ConnectionError: if it is neither in the cache nor can be fetched.
    """
    datasets = import_datasets()
    with _explained(place):
        if _is_saved(place.folder):
            return _names_and_features(_saved(datasets, place))
        builder = _builder(datasets, place, config_name, revision)
        if os.path.isdir(builder.cache_dir):
            return _names_and_features(builder.as_dataset())
        streamed = builder.as_streaming_dataset()
        features = next(iter(streamed.values()))._resolve_features().features
        return list(streamed), features


def open_splits(place, *, config_name=None, revision=None):
    """dict of split name to `datasets.Dataset`; prepares what is not in the cache. Raises as `look`."""
    datasets = import_datasets()
    with _explained(place):
        if _is_saved(place.folder):
            return _saved(datasets, place)
        builder = _builder(datasets, place, config_name, revision)
        if not os.path.isdir(builder.cache_dir):
            logger.info("Preparing %s in %s", place.name, builder.cache_dir)
        builder.download_and_prepare()
        if place.folder is None:
            logger.info("%s: revision %s", place.name, builder.hash)
        return dict(builder.as_dataset())


def _names_and_features(splits):
    return list(splits), next(iter(splits.values())).features


def _is_saved(folder):
    """Whether `save_to_disk` wrote a folder."""
    names = ("dataset_dict.json", "state.json")
    return folder is not None and any(os.path.isfile(os.path.join(folder, name)) for name in names)


def _saved(datasets, place):
    opened = datasets.load_from_disk(place.folder, keep_in_memory=False)
    return dict(opened) if isinstance(opened, dict) else {str(opened.split or "train"): opened}


def _builder(datasets, place, config_name, revision):
    if place.folder is None:
        return _hub_builder(datasets, place, config_name, revision)
    if not place.files and set(place.folder) & set("[]*?"):
        raise ValueError("its path has one of [ ] * ?, patterns to `datasets`: name its files (DIR/*.parquet)")
    if not place.files:
        return datasets.load_dataset_builder(place.folder, config_name)
    ending = os.path.splitext(place.files[0])[1].lower()
    more = {"sep": "\t"} if ending == ".tsv" else {}
    # Escaped, since `datasets` takes each for a pattern.
    return datasets.load_dataset_builder(
        FORMATS[ending], data_files=[glob.escape(file) for file in place.files], **more
    )


def _hub_builder(datasets, place, config_name, revision):
    from huggingface_hub import constants

    global _offline
    if not datasets.config.HF_HUB_OFFLINE:
        # `datasets` retries for minutes; its cache is asked where the Hub does not answer.
        reason = no_answer(f"{datasets.config.HF_ENDPOINT}/api/datasets/{place.typed}", seconds=_HUB_TIMEOUT)
        if reason is None:
            return datasets.load_dataset_builder(place.typed, config_name, revision=revision)
        _offline = f"{datasets.config.HF_ENDPOINT} does not answer ({reason})"
        datasets.config.HF_HUB_OFFLINE = datasets.config.HF_DATASETS_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        builder = datasets.load_dataset_builder(place.typed, config_name, revision=revision)
    except OSError:
        raise ConnectionError(
            f"{place.typed} is not in {datasets.config.HF_DATASETS_CACHE}, and {_offline}. Run the command once where "
            "there is a network, or name a local copy: data.root=DIR"
        ) from None
    if revision is not None and not builder.hash.startswith(revision):
        raise ConnectionError(
            f"data.revision={revision} of {place.typed} cannot be fetched, since {_offline}. The cache holds the "
            f"revision {builder.hash}"
        )
    logger.info("%s: %s is taken from the cache", _offline, place.typed)
    return builder


@contextlib.contextmanager
def _explained(place):
    """One message in place of the errors of `datasets`, which are of almost any class."""
    try:
        yield
    except (MemoryError, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001
        cause = error.__cause__ if type(error).__name__ == "DatasetGenerationError" and error.__cause__ else error
        text = str(cause).strip()
        listed = re.search(r"\[.*?\]", text)
        if listed and ("Config name is missing" in text or "BuilderConfig" in text):
            raise ValueError(
                f"data.config_name must be one of {listed[0]}. Received: {place.key}={place.typed}"
            ) from None
        kind = "" if isinstance(cause, ValueError | OSError) else f"{type(cause).__name__}: "
        reason = text.split("\n")[0] or type(cause).__name__
        raise ValueError(f"{place.key}={place.typed} cannot be opened: {kind}{reason}") from error
