"""Texts that cannot be used as they are: counted and named, a log line a kind, never silent."""

import logging

logger = logging.getLogger(__name__)
NAMED_IN_LOG = 5


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
