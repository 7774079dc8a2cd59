"""Prepares rendered scenes as a TensorFlow Datasets set, `vitcross_scenes/<configuration>`, in order of the index.

The configuration's name contains every option that decides the content, so that each content has its own folder.
"""

import contextlib
import io
import itertools
import logging
import time

import numpy as np
import tensorflow_datasets as tfds

from vitcross.data.scenes.shapes import SHAPES
from vitcross.data.scenes.workers import render_scenes
from vitcross.data.sources.tfds_prepare import is_prepared, prepare, readable_description

logger = logging.getLogger(__name__)
_SECONDS_BETWEEN_REPORTS = 2.0


class ScenesBuilderConfig(tfds.core.BuilderConfig):
    """Options of a prepared set of scenes.

    Args:
        scenes: `SceneOptions`.
        counts: dict of split to number of scenes, all > 0.
    """

    def __init__(self, *, scenes, counts):
        for split, count in counts.items():
            if count <= 0:
                raise ValueError(f"{split}_examples of scenes must be > 0. Received: {count}")
        height, width = scenes.image_size
        sizes = "_".join(str(count) for count in counts.values())
        kind = "heldout_" if scenes.held_out else ""
        super().__init__(
            name=f"{height}x{width}_{scenes.target_color}_max{scenes.max_objects}_seed{scenes.seed}_{kind}{sizes}",
            description=f"{height} x {width} pixels; the label is the shape of the {scenes.target_color} object.",
        )
        self.scenes, self.counts = scenes, counts


class VitcrossScenes(tfds.core.GeneratorBasedBuilder):
    """TFDS builder of rendered scenes; its features are those of `_info`.

    Args:
        config: `ScenesBuilderConfig`.
        data_dir: path or None for TFDS's own.
        progress: callable (done, total) or None to log a line every few seconds.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, config, data_dir=None, progress=None, **arguments):
        self._progress = progress or _LogProgress()
        self._done = 0
        super().__init__(config=config, data_dir=data_dir, file_format="array_record", **arguments)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(*self.builder_config.scenes.image_size, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=SHAPES),
            "box": tfds.features.BBoxFeature(),  # y_min, x_min, y_max, x_max of the object with the target color
            "num_objects": tfds.features.Scalar(np.int32),
            "caption": tfds.features.Text(),
            "scene": tfds.features.Text(),  # JSON: objects, target, links, questions (scene.py)
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # the index decides the content already
        )

    def _split_generators(self, dl_manager):
        # One stream serves all splits, since TFDS reads them one after the other in this order.
        config = self.builder_config
        stream = render_scenes(config.scenes, counts=config.counts)
        return {
            split: self._generate_examples(itertools.islice(stream, count)) for split, count in config.counts.items()
        }

    def _generate_examples(self, scenes):
        total = sum(self.builder_config.counts.values())
        for _, index, row in scenes:
            row["image"] = row.pop("png")
            y_min, x_min, y_max, x_max = row["box"]
            row["box"] = tfds.features.BBox(ymin=y_min, xmin=x_min, ymax=y_max, xmax=x_max)
            yield index, row
            self._done += 1
            self._progress(self._done, total)


class _LogProgress:
    """Logs a line every few seconds."""

    def __init__(self):
        self._last = time.monotonic()

    def __call__(self, done, total):
        if time.monotonic() - self._last > _SECONDS_BETWEEN_REPORTS or done == total:
            self._last = time.monotonic()
            logger.info("Rendering scenes: %d of %d", done, total)


def prepared_scenes(*, scenes, counts, data_dir=None, progress=None):
    """The builder of these scenes, prepared; safe to call from several processes at once (the first to finish wins).

    Args:
        scenes: `SceneOptions`.
        counts: dict of split to number of scenes.
        data_dir: path or None.
        progress: callable (done, total) or None to log.

    Raises:
        OSError: if they cannot be written; the message names the key to change.
        ValueError: if the folder is incomplete.
    """
    builder = _builder(scenes, counts, data_dir, progress)
    if not is_prepared(builder):
        logger.info("Rendering %d scenes into %s (once)", sum(counts.values()), builder.data_path)
        tfds.disable_progress_bar()  # TFDS shows one bar per step; ours is one line
        with contextlib.redirect_stdout(io.StringIO()), _quiet():
            prepare(builder, data_dir)
    return builder if builder.info.splits else _builder(scenes, counts, data_dir, progress)


def _builder(scenes, counts, data_dir, progress):
    config = ScenesBuilderConfig(scenes=scenes, counts=counts)
    with _quiet(), readable_description(f"{data_dir or 'the data folder of TFDS'}/vitcross_scenes/{config.name}"):
        return VitcrossScenes(config=config, data_dir=data_dir, progress=progress)


@contextlib.contextmanager
def _quiet():
    """Hides TFDS's warning that a configuration is not on its fixed list, which is true of all of ours."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)
