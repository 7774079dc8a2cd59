"""What is said when the folder that a run reads from is taken away: by hand, or with the disk that it was on."""

import os
import pathlib


class DataVanished(RuntimeError):
    """A folder that was there when the data was opened is gone."""


def check_still_there(path):
    """Raises DataVanished if a folder above `path`, a file that was found there before, does not exist any more.

    What is no path, and so was not read from a file of its own, passes.
    """
    if not isinstance(path, (str, os.PathLike)):
        return
    gone = None
    for folder in pathlib.Path(path).absolute().parents:
        if os.path.isdir(folder):
            break
        gone = folder
    if gone is not None:
        raise DataVanished(
            f"the folder {gone} is gone: it held the data when the run began. Once it is back (moved back, its disk "
            "mounted again), resume=RUN_FOLDER goes on with this run"
        )
