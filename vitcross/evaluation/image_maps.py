"""Captures the maps of the user's images, writes them, and checks them."""

import dataclasses
import functools

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.methods.rollout import methods_of
from vitcross.attention_maps.trust.checks import MapEvaluation
from vitcross.attention_maps.trust.unlabeled_checks import UnlabeledChecks
from vitcross.evaluation.map_files import COARSE_STEPS, write_maps
from vitcross.evaluation.progress import Progress
from vitcross.metric_keys import METHODS
from vitcross.pages.html_page import html_page
from vitcross.terminal import say

MOST_UPLOADED = 20  # sheets of the user's images that go to a sink; all are in the folder


class ImageMaps:
    """The maps of all groups. What compiles is made once: groups of one size share it.

    Args:
        network: built model.
        groups: list of `vitcross.evaluation.image_group.Group`; each gets its report when it is checked.
        query: `vitcross.tasks.image_query.ImageQuery`.
        preprocess: callable, path -> (H, W, C) float32 in [-1, 1].
        folder: path of the results.
        step: int, of the checkpoint.
        title: str, heading of the pages.
        labels: ProbeLabels for a model of several labels per image, or None.
        style: Style or None.
    """

    def __init__(self, network, groups, query, *, preprocess, folder, step, title="", labels=None, style=None):
        self._network, self._groups, self._query, self._preprocess = network, groups, query, preprocess
        self._folder, self._step, self._title, self._labels, self._style = folder, step, title, labels, style
        self._capture = Capture(network, explain=True)
        # One group is captured once; the records of many would not fit into memory.
        self._captured = functools.lru_cache(maxsize=1)(self._capture_group)

    @property
    def page(self):
        """The viewer, or, where there are several, the page that lists them."""
        return self._folder / (self._groups[0].viewer if len(self._groups) == 1 else "index.html")

    def write(self):
        """Write the maps of every group; the pages say that they are not checked yet."""
        with Progress("drawing the maps") as progress:
            for number, group in enumerate(self._groups):
                self._write(group, MapEvaluation(record=self._captured(number)[0], scalars={}))
                progress((number + 1) / len(self._groups))
        self._write_list()

    def check(self, sink, *, exact=False):
        """Check the maps of every group and write them again with the numbers. The first sheets go to the sink too.

        Args:
            sink: `vitcross.sinks.sink.Sink`.
            exact: bool, each curve has a step for every patch; else `COARSE_STEPS`.
        """
        # The choices of a contrastive model are those of the first answer.
        steps, choices = None if exact else COARSE_STEPS, self._groups[0].answer.choices
        checks = UnlabeledChecks(self._network, self._query.class_names, choices, num_steps=steps)
        record, batch = self._captured(0)
        hint = "" if exact else "; exact=true takes a step for every patch"
        say(f"checking the maps by dropping patches: {checks.trust.effort(batch, len(methods_of(record)) + 1)}{hint}")
        total, done = sum(len(group.paths) for group in self._groups), 0
        with Progress("checking the maps") as progress:
            for number, group in enumerate(self._groups):
                record, batch = self._captured(number)
                part = progress.part(done / total, (done + len(group.paths)) / total)
                found = checks(record, batch, step=self._step, target=group.target, progress=part)
                group.report, done = found.record.trust, done + len(group.paths)
                media = self._write(group, found)
                self._write_list()
                if number < MOST_UPLOADED:
                    sink.media(self._step, media)

    def _capture_group(self, number):
        """`(record, batch)` of a group."""
        group, query = self._groups[number], self._query
        batch = {"images": np.stack([self._preprocess(path) for path in group.paths]), **group.answer.batch}
        record = self._capture(
            batch,
            step=self._step,
            class_names=query.class_names,
            texts=group.texts(query),
            describe_predictions=lambda _: group.answer.words,
            labels=self._labels,
            target=group.target,
        )
        return dataclasses.replace(record, image_names=tuple(group.names)), batch

    def _write(self, group, found):
        return write_maps(found, (self._folder / group.viewer).parent, title=self._title, style=self._style)

    def _write_list(self):
        """Write the page that lists several viewers."""
        if len(self._groups) == 1:
            return
        rows = [
            (group.viewer.as_posix(), *row)
            for group in self._groups
            for row in zip(group.names, group.answer.words, group.probes(), strict=True)
        ]
        efforts = dict.fromkeys(group.report.effort for group in self._groups if group.report)
        values = {"rows": rows, "methods": METHODS, "efforts": efforts, "text": self._query.text}
        page = html_page("evaluation/images.html", title=self._title or "Images", **values)
        atomic_files.write_text(self.page, page)
