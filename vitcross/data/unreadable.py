"""Pictures that cannot be read: each is named once and counted; more than the limit is an error."""

import logging
import threading

logger = logging.getLogger(__name__)
NAMED_IN_ERROR = 5


class UnreadableImage(ValueError):
    """One picture that cannot be decoded.

    Args:
        name: str, file path or position in the split.
        reason: str, what the decoder said.
    """

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class TooManyUnreadable(RuntimeError):
    """More distinct pictures are unreadable than `max_unreadable` allows."""


class UnreadableImages:
    """Counts distinct unreadable pictures of all splits; safe to use from several threads.

    An exception inside `tf.data` reaches the caller as a TensorFlow error with a traceback in its text; `error` keeps
    the one for people.

    Args:
        max_unreadable: int >= 0, how many are skipped before `add` raises.

    Attributes:
        reasons: dict of the name of each picture to why it cannot be read.
        error: the first exception that ended the reading of a batch, or None.
    """

    def __init__(self, max_unreadable):
        self.max_unreadable = max_unreadable
        self.reasons = {}
        self.error = None
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.reasons)

    def remember(self, error):
        """Notes an exception that ends the reading of a batch; the first one counts."""
        with self._lock:
            if self.error is None:
                self.error = error

    def behind(self, error):
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
                logger.warning("Skipping an unreadable picture (%d so far): %s", len(self.reasons), problem)
            if len(self.reasons) > self.max_unreadable:
                self.error = self.error or TooManyUnreadable(self._too_many())
                raise self.error  # every thread that reads says the same

    def _too_many(self):
        named = [f"{name} ({reason})" for name, reason in list(self.reasons.items())[:NAMED_IN_ERROR]]
        more = " ..." if len(self.reasons) > len(named) else ""
        return (
            f"{len(self.reasons)} pictures cannot be read, data.max_unreadable allows {self.max_unreadable}: "
            f"{'; '.join(named)}{more}"
        )
