"""Holds the user's images of one sheet of maps: predictions, what the maps explain, what was measured of them."""

import dataclasses
from pathlib import Path

from vitcross.attention_maps.records.probe_text import text_from_user
from vitcross.attention_maps.records.trust_report import TrustReport
from vitcross.evaluation.map_files import VIEWER
from vitcross.metric_keys import METHODS
from vitcross.tasks.image_query import Answer

PER_SHEET = 16  # images on one sheet of maps


@dataclasses.dataclass(kw_only=True)
class Group:
    """The readable images of one sheet.

    Attributes:
        start: int, number of its first image among all.
        paths: list of the paths.
        answer: `Answer`, whose batch is without pixels: they are read again for the maps, since those of many images
            would not fit into memory.
        names: list of str, the short names of the files.
        target: what the maps explain, as `target` of `Capture`; None: what the model says.
        report: TrustReport, once the maps were checked.
    """

    start: int
    paths: list
    answer: Answer
    names: list = ()
    target: object = None
    report: TrustReport | None = None

    @property
    def viewer(self):
        """Its viewer, relative to the folder of the results."""
        return Path("attention") / f"images_{self.start + 1:05d}" / VIEWER

    def texts(self, query):
        """The texts beside the images as the maps need them; None for images alone."""
        if self.answer.texts is None:
            return None
        return [text_from_user(query.tokenizer, text, max_length=query.max_length) for text in self.answer.texts]

    def probes(self):
        """For each image a dict of method to ProbeFidelity; empty where the maps were not checked."""
        known = self.report.probes if self.report else {}
        return [{method: known[method][row] for method in METHODS if method in known} for row in range(len(self.paths))]
