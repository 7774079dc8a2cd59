"""What can be wrong with data: images that cannot be read (each is named once and counted; more than the limit is an
error), texts, and folders that are gone.
"""

import logging
import os
import pathlib
import threading

logger = logging.getLogger(__name__)
NAMED_IN_ERROR = 5
NAMED_IN_LOG = 5


class UnreadableImage(ValueError):
    """One image that cannot be decoded.

    Args:
        name: str, file path or position in the split.
        reason: str, what the decoder said.
    """

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class TooManyUnreadable(RuntimeError):
    """More distinct images are unreadable than `max_unreadable` allows."""


class UnreadableImages:
    """Counts distinct unreadable images of all splits; safe to use from several threads.

    An exception inside `tf.data` reaches the caller as a TensorFlow error with a traceback in its text; `error` keeps
    the one for people.

    Args:
        max_unreadable: int >= 0, how many are skipped before `add` raises.

    Attributes:
        reasons: dict of the name of each image to why it cannot be read.
        error: the first exception that ended the reading of a batch, or None.
    """

    def __init__(self, max_unreadable):
        self.max_unreadable = max_unreadable
        self.reasons = {}
        self.error = None
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.reasons)

    def record_error(self, error):
        """Notes an exception that ends the reading of a batch; the first one counts."""
        with self._lock:
            if self.error is None:
                self.error = error

    def root_cause(self, error):
        """The exception for people behind one that training or evaluation met: what reading raised, where that is why.

        TensorFlow wraps what went wrong inside `tf.data` in a page of its own.
        """
        is_wrapped = type(error).__module__.startswith("tensorflow")
        return self.error if is_wrapped and self.error is not None else error

    def add(self, problem):
        """Notes an `UnreadableImage`. Raises TooManyUnreadable beyond the limit."""
        with self._lock:
            if problem.name not in self.reasons:
                self.reasons[problem.name] = problem.reason
                logger.warning("Skipping an unreadable image (%d so far): %s", len(self.reasons), problem)
            if len(self.reasons) > self.max_unreadable:
                self.error = self.error or TooManyUnreadable(self._too_many())
                raise self.error  # every thread that reads says the same

    def _too_many(self):
        named = [f"{name} ({reason})" for name, reason in list(self.reasons.items())[:NAMED_IN_ERROR]]
        more = " ..." if len(self.reasons) > len(named) else ""
        return (
            f"{len(self.reasons)} images cannot be read, data.max_unreadable allows {self.max_unreadable}: "
            f"{'; '.join(named)}{more}"
        )


class TextProblems:
    """What was wrong with the texts of a data set, kind by kind."""

    def __init__(self):
        self._names = {}
        self._logged = set()

    def add(self, kind, name):
        """Notes that `name` (file:line, or split and position) has the problem `kind`, e.g. `empty text`."""
        self._names.setdefault(kind, []).append(name)

    @property
    def names(self):
        """dict of kind to the list of names, in the order found."""
        return {kind: list(names) for kind, names in self._names.items()}

    def log(self):
        """One warning for each kind that was not logged before."""
        for kind, names in self._names.items():
            if kind not in self._logged:
                self._logged.add(kind)
                more = " ..." if len(names) > NAMED_IN_LOG else ""
                logger.warning("%s: %d (%s%s)", kind, len(names), ", ".join(names[:NAMED_IN_LOG]), more)


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
