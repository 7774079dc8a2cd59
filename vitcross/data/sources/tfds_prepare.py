"""Finds or prepares a TFDS data set, and reports within seconds what is missing and how to get it.

TFDS retries for minutes without a network. Therefore the prepared folder is checked first, and a download starts only
on request and after the data set's host has answered.
"""

import contextlib
import errno
import logging

import tensorflow_datasets as tfds
from google.protobuf.json_format import ParseError

from vitcross.data.sources.preflight import no_answer
from vitcross.typos import nearest_names

logger = logging.getLogger(__name__)
PREFLIGHT_SECONDS = 8.0
REMEDY = "Delete {} and prepare the set again (rendered scenes are drawn again automatically)"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT)


def prepared_builder(*, name, data_dir=None, download=False):
    """The builder of a prepared set; arguments as in `TFDSOptions` and `ImageOptions`.

    Raises:
        ValueError: for an unknown name (the message names the nearest ones) or an incomplete folder.
        FileNotFoundError: if it is not prepared and `download` is false, or needs files that must be fetched manually.
        ConnectionError: if its host does not answer.
    """
    with readable_description(f"{data_dir or 'the data folder of TFDS'}/{name}"):
        builder = _find(name, data_dir)
    if not is_prepared(builder):
        if not download:
            raise FileNotFoundError(_not_prepared(builder, name, data_dir))
        _preflight(builder)
        logger.info("Downloading and preparing %s into %s", name, builder.data_dir)
        try:
            prepare(builder, data_dir)
        except AssertionError as error:  # how TFDS reports files that must be fetched by hand
            raise FileNotFoundError(f"{name} cannot be prepared: {error}") from None
    return builder if builder.info.splits else _find(name, data_dir)  # another process may just have prepared it


def prepare(builder, data_dir):
    """Prepares the set of a `tfds.core.DatasetBuilder`; several processes may do so at once (the first to finish wins).

    Raises OSError if the set cannot be written below `data_dir`; the message names the key to change.
    """
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except OSError as error:
        if builder.data_path.exists():
            return  # another process finished the same folder first
        if error.errno not in _NOT_WRITABLE:
            raise
        raise OSError(
            f"the data set cannot be written below {data_dir or tfds.core.constants.DATA_DIR} ({error.strerror}). "
            "Name a folder that can be written: data.data_dir=DIR (or TFDS_DATA_DIR in the environment)"
        ) from error


def _find(name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        nearest = nearest_names(name.split("/")[0].split(":")[0], known)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise ValueError(f"data.name must be a data set that TFDS knows{hint}. Received: {name!r}") from None
    except (AssertionError, ValueError) as error:  # unknown version or configuration
        raise ValueError(
            f"data.name must name a version and configuration that exist. Received: {name!r}: {error}"
        ) from None


def is_prepared(builder):
    """Whether the folder of a builder holds its data. Raises ValueError if incomplete, which TFDS does not notice."""
    if not builder.data_path.exists():
        return False
    if not (builder.data_path / "dataset_info.json").exists():
        remedy = REMEDY.format("that folder")
        raise ValueError(f"{builder.data_path} is not a whole prepared set: its dataset_info.json is missing. {remedy}")
    return True


@contextlib.contextmanager
def readable_description(folder):
    """Replaces TFDS's error for a damaged `dataset_info.json` with a ValueError that names the set's folder."""
    try:
        yield
    except ParseError as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"a dataset_info.json below {folder} is damaged ({reason}). {REMEDY.format('that folder')}"
        ) from None


def _not_prepared(builder, name, data_dir):
    folder = f" --data_dir={data_dir}" if data_dir else ""
    text = (
        f"{name} is not prepared: there is no {builder.data_dir}. "
        "With a network, add data.download=true to the command, or run:\n"
        f"  tfds build {name}{folder}\n"
        "Where it is prepared elsewhere, name that folder: data.data_dir=DIR (or TFDS_DATA_DIR)."
    )
    manual = getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None)
    return text + (f"\nSome of its files must be fetched by hand: {manual.strip()}" if manual else "")


def _preflight(builder):
    """Raises ConnectionError unless the host of the data set answers in time (an HTTP error is an answer)."""
    urls = [url for url in (builder.url_infos or {}) if url.startswith(("http://", "https://"))]
    if not urls:
        return
    reason = no_answer(urls[0], seconds=PREFLIGHT_SECONDS)
    if reason is not None:
        raise ConnectionError(
            f"{builder.name} is not prepared ({builder.data_dir}) and cannot be downloaded: {urls[0]}: {reason}. "
            "Prepare it where there is a network and name its folder: data.data_dir=DIR."
        )
