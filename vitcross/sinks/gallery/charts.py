"""Which curves the gallery draws, in which section and in which order."""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.methods.rollout import NAMES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure of curves.

    Args:
        title, meaning: str, what it shows and how it is read.
        series: tuple of (label, key). A key with `*` stands for all keys that fit, each a series; `{}` in its label is
            what the star stands for.
        band: (low, high) or None: last parts of the keys that bound a series, beside the key of the series.
        reference: float, or a key whose last value it is, or None: a dashed level.
    """

    title: str
    series: tuple[tuple[str, str], ...]
    meaning: str = ""
    band: tuple[str, str] | None = None
    reference: float | str | None = None


def _of_methods(key: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, key.format(method)) for method, name in NAMES.items())


TRUST = (
    Chart(
        title="Gap against random orders",
        meaning="how much more dropping patches in the map's order changes the answer; dashed: no better than random; "
        "bands: 99 % intervals",
        series=_of_methods("trust/{}/gap"),
        band=("gap_low", "gap_high"),
        reference=0.0,
    ),
    Chart(
        title="Lift on the boxes of what is explained",
        meaning="energy in the box / its share of the image; 1: no better than chance",
        series=_of_methods("grounding/{}/lift"),
        reference=1.0,
    ),
    Chart(
        title="Pointing game",
        meaning="how often the brightest patch is on the boxes of what is explained; dashed: chance",
        series=_of_methods("grounding/{}/pointing"),
        reference="grounding/*/chance",
    ),
    Chart(
        title="Lift on the planted mark",
        meaning="a mark that gives the class away; high: the map points at it",
        series=_of_methods("grounding_mark/{}/lift"),
        reference=1.0,
    ),
    Chart(
        title="Pointing game on the planted mark",
        meaning="how often the brightest patch is on the mark; dashed: chance",
        series=_of_methods("grounding_mark/{}/pointing"),
        reference="grounding_mark/*/chance",
    ),
    Chart(
        title="Likeness to an untrained model's map",
        meaning="rank correlation; high: the map shows the architecture or the image, not what was learned",
        series=_of_methods("trust/{}/sanity"),
        reference=0.0,
    ),
    Chart(
        title="Words: lift on the boxes of what they name",
        meaning="energy in the box / its share of the image; 1: no better than chance",
        series=(("{}", "grounding/words/*/lift"),),
        reference=1.0,
    ),
    Chart(
        title="Words: pointing game",
        meaning="how often a word's brightest patch is on what it names; dashed: chance",
        series=(("{}", "grounding/words/*/pointing"),),
        reference="grounding/words/*/chance",
    ),
)

HEALTH = (
    *(
        Chart(
            title=title,
            meaning=f"{meaning}; band: layers",
            series=(("mean over layers", f"attention_stats/{name}/mean"),),
            band=("min", "max"),
        )
        for name, title, meaning in (
            ("entropy", "Entropy", "1: attends to all tokens alike"),
            ("distance", "Attention distance", "pixels, mean"),
            ("prefix_mass", "Prefix mass", "share that goes to class token and registers"),
            ("sink_share", "Sink share", "share of the most attended token"),
            ("cross_entropy", "Entropy of cross-attention", "1: words attend to all patches alike"),
        )
    ),
    Chart(
        title="Change",
        meaning="of the maps since the previous capture, bits",
        series=(("change", "attention_stats/change"),),
    ),
    Chart(
        title="Head similarity",
        meaning="mean cosine between heads",
        series=(("heads", "attention_stats/head_similarity"),),
    ),
    Chart(title="Artifact patches", meaning="per image", series=(("patches", "attention_stats/artifact_patches"),)),
)

TRAINING = (
    Chart(
        title="Loss",
        series=(("train", "train/loss"), ("validation", "val/loss"), ("average of the weights", "val/loss_ema")),
    ),
    Chart(
        title="Accuracy",
        series=(
            ("train", "train/accuracy"),
            ("validation", "val/accuracy"),
            ("average of the weights", "val/accuracy_ema"),
            ("without the mark", "val/accuracy_unmarked"),
            ("mark of another class", "val/accuracy_misleading"),
        ),
    ),
    Chart(
        title="Accuracy by kind",
        meaning="validation, e.g. by the type of the question",
        series=(("{}", "val/accuracy/*"),),
    ),
    Chart(
        title="Retrieval",
        meaning="validation, R@1: how often the right one is found first",
        series=(
            ("image to text", "val/image_to_text_r1"),
            ("text to image", "val/text_to_image_r1"),
            ("mean of both, average of the weights", "val/mean_r1_ema"),
        ),
    ),
    Chart(
        title="Right attributes of captions",
        meaning="shape, color, size and relation; unseen: combinations that training never showed",
        series=(
            ("validation", "val/attribute_accuracy"),
            ("average of the weights", "val/attribute_accuracy_ema"),
            ("unseen", "val/attribute_accuracy_unseen"),
        ),
    ),
    Chart(title="CIDEr of captions", meaning="validation", series=(("CIDEr", "val/cider"),)),
    Chart(title="Learning rate", series=(("rate", "optimizer/learning_rate"),)),
    Chart(
        title="Gradient norm",
        meaning="before clipping; peaks are where training is restless",
        series=(("norm", "optimizer/gradient_norm"),),
    ),
    Chart(title="Speed", meaning="images per second", series=(("images/s", "speed/images_per_second"),)),
)
