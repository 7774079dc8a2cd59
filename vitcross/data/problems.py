"""Records problems with data: unreadable images (an error beyond a limit), unusable texts and vanished folders."""

import logging
import os
import pathlib
import threading

logger = logging.getLogger(__name__)
_NAMED = 5  # names that one message lists


class UnreadableImage(ValueError):
    """One image that cannot be decoded: its file path or position in the split, and the decoder's reason."""

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class TooManyUnreadable(RuntimeError):
    """More distinct images are unreadable than `max_unreadable` allows."""


class UnreadableImages:
    """Counts distinct unreadable images of all splits; safe to use from several threads.

    TensorFlow replaces an exception inside `tf.data` with an error of its own that contains a traceback; `error` keeps
    the original.

    Args:
        max_unreadable: int >= 0, number of images to skip before `add` raises.

    Attributes:
        reasons: dict of each image's name to the reason that it is unreadable.
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
        """Records an exception that ends the reading of a batch; only the first is kept."""
        with self._lock:
            if self.error is None:
                self.error = error

    def root_cause(self, error):
        """The exception behind an error of training or evaluation: the recorded one if TensorFlow wrapped it."""
        is_wrapped = type(error).__module__.startswith("tensorflow")
        return self.error if is_wrapped and self.error is not None else error

    def add(self, problem):
        """Records an `UnreadableImage`. Raises TooManyUnreadable beyond the limit."""
        with self._lock:
            if problem.name not in self.reasons:
                self.reasons[problem.name] = problem.reason
                logger.warning("Skipping an unreadable image (%d so far): %s", len(self.reasons), problem)
            if len(self.reasons) > self.max_unreadable:
                self.error = self.error or TooManyUnreadable(self._too_many())
                # An error of its own for every reading thread, with the same words: raising one anew frees what its
                # traceback holds, the iterator of the data, which would wait here for this thread for ever.
                raise TooManyUnreadable(str(self.error))

    def _too_many(self):
        named = [f"{name} ({reason})" for name, reason in self.reasons.items()]
        return (
            f"{len(named)} images cannot be read, data.max_unreadable allows {self.max_unreadable}: "
            f"{_first('; ', named)}"
        )


class TextProblems:
    """Problems with the texts of a data set, by kind."""

    def __init__(self):
        self._names = {}
        self._logged = set()

    def add(self, kind, name):
        """Records a problem `kind`, e.g. `empty text`, of `name` (file:line, or split and position)."""
        self._names.setdefault(kind, []).append(name)

    def add_logged(self, names):
        """Records problems, a dict of kind to names, that were logged already."""
        for kind, of_kind in names.items():
            self._names.setdefault(kind, []).extend(of_kind)
            self._logged.add(kind)

    @property
    def names(self):
        """dict of kind to the list of names, in order."""
        return {kind: list(names) for kind, names in self._names.items()}

    def log(self):
        """Logs one warning for each kind that was not logged before."""
        for kind, names in self._names.items():
            if kind not in self._logged:
                self._logged.add(kind)
                logger.warning("%s: %d (%s)", kind, len(names), _first(", ", names))


def _first(separator, names):
    return separator.join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


class DataVanished(RuntimeError):
    """A folder that existed when the data was opened no longer exists."""


def check_still_there(path):
    """Raises DataVanished if a folder above the file `path` no longer exists; anything but a path passes."""
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
            "mounted again), resume=RUN_FOLDER resumes this run"
        )
