"""Declares the keys that a run logs, each with title, unit, meaning, section, and whether more is better.

All code that logs takes its keys from here (`train`, `val`, `trust`, ...); console, gallery, dashboard and evaluation
take titles, meanings, sections and directions. A row of `KEYS` is one figure: one key, or a family of keys. In its
pattern `{a,b}` stands for one of several words and `<x>` for one part with any name. Metrics of `val/` may end in one
of `VARIANTS`. `MEDIA` has the keys of images and pages, in the order in which they are shown.
"""

from __future__ import annotations

import dataclasses
import functools
import re

STEP = "trainer/step"  # the axis of all others
EPOCH = "epoch"
LEARNING_RATE = "optimizer/learning_rate"
GRADIENT_NORM = "optimizer/gradient_norm"
IMAGES_PER_SECOND = "speed/images_per_second"
PEAK_MEMORY = "memory/peak_gigabytes"
UNREADABLE_IMAGES = "data/unreadable_images"

# Sections in the order in which they are shown, by their name in addresses.
SECTIONS = {
    "trust": "Is it trustworthy?",
    "self": "Self-attention",
    "text": "Image and text",
    "explore": "Explore",
    "health": "Health",
    "training": "Training",
}
RUN, EVALUATION = "run", "evaluation"  # the results of a run and of evaluate.py: tables, not figures
# The map methods by their name in keys, in the order in which they are shown; the last is the practical reference.
METHODS = {"raw": "Raw attention", "rollout": "Rollout", "relevance": "Relevance", "leave_one_out": "Leave one out"}
STATISTICS = ("entropy", "distance", "prefix_mass", "sink_share", "cross_entropy")

_AVERAGE = "average of the weights"
_SPLITS = {"_unmarked": "without the mark", "_misleading": "mark of another class", "_unseen": "unseen combinations"}
# The endings of validation metrics: another split than `validation`, and the averaged weights.
VARIANTS = {
    "": "",
    "_ema": _AVERAGE,
    **_SPLITS,
    **{f"{end}_ema": f"{name}, {_AVERAGE}" for end, name in _SPLITS.items()},
}
_LABELS = METHODS | {"random": "Random orders", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L"}


@dataclasses.dataclass(frozen=True)
class MetricKey:
    """One logged key, or a family of keys that one figure shows.

    Args:
        pattern: str, as above.
        title: str, of the figure and of the column of a table.
        meaning: str, how to read it, without the full stop.
        section: one of `SECTIONS`, `RUN` or `EVALUATION`.
        unit: str; `"share"` is a number in [0, 1]; empty for a pure number.
        more_is_better: bool, or None where neither is better.
        band: last parts of the two keys that bound each curve, beside the last part of the pattern; or ().
        reference: a level to compare with: a number, the last part of the key that holds it, or None.
        limits: (low, high) of the axis; None: from the values.
        not_drawn: str, why no figure shows it; empty where one does.
    """

    pattern: str
    title: str
    meaning: str
    section: str
    unit: str = ""
    more_is_better: bool | None = None
    band: tuple[str, ...] = ()
    reference: float | str | None = None
    limits: tuple[float | None, float | None] = (None, None)
    not_drawn: str = ""

    @property
    def has_variants(self) -> bool:
        """Whether its keys may end in one of `VARIANTS`."""
        return self.pattern.startswith(("val/", "{train,val}/"))

    @functools.cached_property
    def regex(self) -> str:
        """Matches all keys of the row: also those of its band and reference, and its variants."""
        others = [*self.band, self.reference] if isinstance(self.reference, str) else self.band
        last = f"{{{','.join([self.last, *others])}}}" if others else self.last
        return _as_regex(f"{self.head}{last}") + (f"({'|'.join(_SPLITS)})?(_ema)?" if self.has_variants else "")

    @property
    def head(self) -> str:
        """The pattern up to and with its last slash."""
        return self.pattern.removesuffix(self.last)

    @property
    def last(self) -> str:
        """The last part of the pattern."""
        return self.pattern.rsplit("/", 1)[-1]

    @functools.cached_property
    def curves(self) -> dict[str, str]:
        """Key -> label of each curve, the most wanted first; an `<x>` stays in the key. No bands, no references."""
        found = {}
        for end, variant in VARIANTS.items() if self.has_variants else [("", "")]:
            for key, choices in expand(self.pattern):
                if end and key.startswith("train/"):
                    continue
                words = [_LABELS.get(c, c.replace("_", " ")) for c in choices if c != "val"] + [variant] * bool(variant)
                alone = "validation" if self.has_variants else self.unit or self.title.lower()
                found[key + end] = ", ".join(words) or alone
        return found


@dataclasses.dataclass(frozen=True)
class MediaKey:
    """A key of images or pages: the question that it answers, its section, and whether half a page is too narrow."""

    key: str
    question: str
    section: str
    wide: bool = False


def expand(pattern: str) -> list[tuple[str, tuple[str, ...]]]:
    """(key, the words chosen) for every choice of the `{a,b}` of a pattern."""
    found = re.search(r"\{([^}]*)\}", pattern)
    if found is None:
        return [(pattern, ())]
    start, end = pattern[: found.start()], pattern[found.end() :]
    return [(key, (word, *more)) for word in found[1].split(",") for key, more in expand(start + word + end)]


def _as_regex(pattern: str) -> str:
    text = re.sub(r"\{([^}]*)\}", lambda found: f"({found[1].replace(',', '|')})", pattern)
    return re.sub(r"<[^>]*>", "([^/]+)", text)


_MAPS = f"{{{','.join(METHODS)}}}"
_ONCE = "one number of a whole run: summary.json and the table at its end"
_OF_EVALUATION = "one number of an evaluation: metrics.json of the split and the console"
_SAME_AS_LIFT = "lift is this number divided by the box's share of the image"
_LAYERS = {"band": ("min", "max")}

KEYS = (
    MetricKey(f"trust/{_MAPS}/verdict", "Verdict",
              "of a sign-flip test at 1 % and a 99 % interval over all examples; as a number 1: follows the model, 0: "
              "no better than random (the whole interval is below +0.1), -1: nothing to explain, -2: cannot tell (too "
              "few examples, or an interval that holds both no effect and a large one)", "trust", limits=(-2.1, 1.1)),
    MetricKey(f"trust/{_MAPS}/gap", "Gap to random orders",
              "(insertion - deletion) minus that of random orders, with its 99 % interval; above 0: better than random",
              "trust", more_is_better=True, band=("gap_low", "gap_high"), reference=0.0),
    MetricKey(f"trust/{{{','.join(METHODS)},random}}/deletion", "Deletion",
              "mean probability of the answer while patches are dropped, most important first; lower is better",
              "trust", "share", more_is_better=False),
    MetricKey(f"trust/{{{','.join(METHODS)},random}}/insertion", "Insertion",
              "mean probability of the answer while patches come in, most important first; higher is better",
              "trust", "share", more_is_better=True),
    MetricKey(f"trust/{_MAPS}/gap_share", "Share of leave one out",
              "the gap as a share of that of leaving out patches one by one; near 1: as good as the reference",
              "trust", "share", more_is_better=True),
    MetricKey(f"trust/{_MAPS}/sanity", "Untrained likeness",
              "rank correlation with the map of an untrained model; high: the map shows the architecture or the image, "
              "not what was learned", "trust", more_is_better=False, reference=0.0, limits=(-1, 1)),
    MetricKey(f"grounding/{_MAPS}/pointing", "Pointing game",
              "how often the brightest patch is on the boxes of what is explained",
              "trust", "share", more_is_better=True, reference="chance", limits=(0, 1)),
    MetricKey(f"grounding/{_MAPS}/lift", "Lift",
              "energy on the boxes of what is explained / their share of the image; 1: no better than chance",
              "trust", more_is_better=True, reference=1.0),
    MetricKey(f"grounding/{_MAPS}/energy", "Energy", "share of the map that lies on the boxes of what is explained",
              "trust", "share", more_is_better=True, not_drawn=_SAME_AS_LIFT),
    MetricKey(f"grounding_mark/{_MAPS}/pointing", "Pointing at the mark",
              "how often the brightest patch is on a planted mark that gives the class away",
              "trust", "share", reference="chance", limits=(0, 1)),
    MetricKey(f"grounding_mark/{_MAPS}/lift", "Lift on the mark",
              "energy on a planted mark that gives the class away / its share of the image; 1: no better than chance, "
              "high: the map exposes the shortcut", "trust", reference=1.0),
    MetricKey(f"grounding_mark/{_MAPS}/energy", "Energy on the mark", "share of the map that lies on a planted mark",
              "trust", "share", not_drawn=_SAME_AS_LIFT),
    MetricKey("grounding/words/<layer>/pointing", "Words: pointing game",
              "how often a word's brightest patch is on what it names",
              "trust", "share", more_is_better=True, reference="chance", limits=(0, 1)),
    MetricKey("grounding/words/<layer>/lift", "Words: lift",
              "energy on the boxes of what a word names / their share of the image; 1: no better than chance",
              "trust", more_is_better=True, reference=1.0),
    MetricKey("grounding/words/<layer>/energy", "Words: energy", "share of a word's map that lies on what it names",
              "trust", "share", more_is_better=True, not_drawn=_SAME_AS_LIFT),
    MetricKey("trust/{examples,explainable}", "Examples measured",
              "how many were measured, and for how many dropping patches changes the prediction", "trust"),
    MetricKey("attention_stats/entropy/mean", "Entropy", "1: attends to all tokens alike, 0: to a single one",
              "health", **_LAYERS),
    MetricKey("attention_stats/distance/mean", "Distance",
              "mean distance in pixels from a patch to the patches it attends to", "health", "pixels", **_LAYERS),
    MetricKey("attention_stats/prefix_mass/mean", "Prefix mass",
              "share of attention that goes to the class token and registers", "health", "share", **_LAYERS),
    MetricKey("attention_stats/sink_share/mean", "Sink share",
              "share of attention that the most attended token receives", "health", "share", **_LAYERS),
    MetricKey("attention_stats/cross_entropy/mean", "Entropy of cross-attention",
              "1: words attend to all patches alike, 0: to a single one", "health", **_LAYERS),
    MetricKey("attention_stats/change", "Change",
              "Jensen-Shannon divergence of the maps from those of the capture before, in bits; 0: the same maps",
              "health", "bits"),
    MetricKey("attention_stats/head_similarity", "Head similarity", "mean cosine between heads; 1: all look alike",
              "health", "cosine"),
    MetricKey("attention_stats/artifact_patches", "Artifact patches",
              "patches per image whose token has an outstanding norm: brightness there is a sink, not evidence",
              "health", "patches"),
    MetricKey(GRADIENT_NORM, "Gradient norm", "before clipping; peaks show where training is unstable", "health"),
    MetricKey("{train,val}/loss", "Loss", "the value that training minimizes; validation well above train: overfitting",
              "training", more_is_better=False),
    MetricKey("{train,val}/accuracy", "Accuracy", "how often the first answer is right", "training", "share",
              more_is_better=True, limits=(0, 1)),
    MetricKey("val/accuracy/<group>", "Accuracy by group",
              "validation, e.g. by the type of the question or the number of objects", "training", "share",
              more_is_better=True, limits=(0, 1)),
    MetricKey("val/top5_accuracy", "Top-5 accuracy", "how often the right class is among the first five", "training",
              "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/mean_average_precision", "Mean average precision",
              "of several labels per image: how well probabilities rank the images of a label before the others, mean "
              "over the labels", "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/f1", "F1", "harmonic mean of precision and recall over all labels together, at the threshold that "
              "is best on validation", "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/threshold", "Threshold", "probability from which on a label counts as predicted: the one with the "
              "best F1 on validation", "training", "share", limits=(0, 1)),
    MetricKey("val/calibration_error", "Calibration error of labels",
              "mean gap between the probability of a label and how often it is there; 0: probabilities are frequencies",
              "training", "share", more_is_better=False, limits=(0, None)),
    MetricKey("val/vqa_accuracy", "VQA accuracy", "an answer counts a third for each annotator who gave it, at most 1",
              "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("{train,val}/token_accuracy", "Token accuracy", "how often the next token of the given caption is right",
              "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/{image_to_text,text_to_image,mean}_r1", "Retrieval, R@1",
              "how often the right one is found first; mean: of both directions", "training", "share",
              more_is_better=True, limits=(0, 1)),
    MetricKey("val/{image_to_text,text_to_image}_r{5,10}", "Retrieval, R@5 and R@10",
              "how often the right one is among the first 5 or 10", "training", "share", more_is_better=True,
              limits=(0, 1)),
    MetricKey("val/{image_to_text,text_to_image}_median_rank", "Retrieval, median rank",
              "half of the searches find the right one at this rank or better", "training", "rank",
              more_is_better=False, reference=1.0),
    MetricKey("val/attribute_accuracy", "Right attributes",
              "share of shape, color, size and relation that captions get right; of scenes with combinations that "
              "training never showed, of those objects alone", "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/attribute_accuracy_all_objects", "Right attributes of all objects",
              "the same over whole captions, where the scenes hold combinations that training never showed", "training",
              "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/attribute_accuracy/<kind>", "Right attributes by kind", "validation, e.g. of color or relation",
              "training", "share", more_is_better=True, limits=(0, 1)),
    MetricKey("val/cider", "CIDEr", "likeness of captions to the given ones, rare words count most; 0 to 10",
              "training", more_is_better=True),
    MetricKey("val/{bleu4,rouge_l}", "BLEU-4 and ROUGE-L",
              "share of word sequences that captions have in common with the given ones", "training", "share",
              more_is_better=True),
    MetricKey(LEARNING_RATE, "Learning rate", "as the schedule sets it", "training"),
    MetricKey(IMAGES_PER_SECOND, "Images per second", "of the training steps alone", "training", "images/s",
              more_is_better=True),
    MetricKey(EPOCH, "Epoch", "passes through the training data so far", RUN,
              not_drawn="an axis beside the step, in every row"),
    MetricKey("state", "State", "how the run ended", RUN, not_drawn=_ONCE),
    MetricKey("steps", "Steps", "optimizer steps", RUN, "steps", not_drawn=_ONCE),
    MetricKey("parameters", "Parameters", "number of the model's parameters", RUN, "parameters", not_drawn=_ONCE),
    MetricKey("best/{metric,value,checkpoint}", "Best checkpoint", "which metric chose it, its value and its folder",
              RUN, not_drawn=_ONCE),
    MetricKey("time/{to_first_step,training_steps,validation,checkpoints,attention_maps,trust,total}_seconds", "Time",
              "duration of the parts of a run; trust is included in attention_maps", RUN, "s", more_is_better=False,
              not_drawn=_ONCE),
    MetricKey(PEAK_MEMORY, "Peak memory", "the most that the device held at once", RUN, "GB", more_is_better=False,
              not_drawn=_ONCE),
    MetricKey(UNREADABLE_IMAGES, "Unreadable images", "images that were left out", RUN, "images", more_is_better=False,
              not_drawn=_ONCE),
    MetricKey("evaluation/<split>/{examples,images,texts,unreadable_images,unknown_answers,labels_without_examples}",
              "Counts",
              "how many were evaluated, or could not be", EVALUATION, not_drawn=_OF_EVALUATION),
    MetricKey("evaluation/<split>/expected_calibration_error", "Calibration error",
              "mean gap between confidence and accuracy; 0: confidence equals accuracy", EVALUATION, "share",
              more_is_better=False, not_drawn=_OF_EVALUATION),
    MetricKey("evaluation/<split>/{image_to_text,text_to_image}_r{1,5,10}_chance", "Retrieval by chance",
              "what a random order reaches", EVALUATION, "share", not_drawn=_OF_EVALUATION),
    MetricKey("evaluation/<split>/zero_shot_{accuracy,top5_accuracy}", "Zero-shot accuracy",
              "how often the class whose sentence is most similar to the image is right", EVALUATION, "share",
              more_is_better=True, not_drawn=_OF_EVALUATION),
)  # fmt: skip

PROBE, OVERLAY, METHODS_SHEET = "attention/probe", "attention/self/overlay", "attention/self/methods"
LABELS = "attention/self/labels"
HEADS, LAYERS, TEXT = "attention/self/heads", "attention/self/layers", "attention/self/text"
WORDS, MATRIX = "attention/cross/words", "attention/cross/matrix"
WORD_RELEVANCE, SIMILARITY = "attention/cross/relevance", "attention/cross/similarity"
VIEWER, ANIMATION = "attention/viewer", "attention/evolution"
TRUST_SHEET, TRUST_BLURRED = "attention/trust", "attention/trust_blurred"
HEAD_IMPORTANCE, CONFUSION = "attention/heads_importance", "evaluation/confusion_matrix"
AVERAGE_PRECISION = "evaluation/average_precision"

# First what the image's tokens read of each other, then image and text.
MEDIA = (
    MediaKey(OVERLAY, "Where does it look?", "self"),
    MediaKey(METHODS_SHEET, "Do the methods agree, and how far can each be trusted?", "self", wide=True),
    MediaKey(LABELS, "What speaks for each label?", "self", wide=True),
    MediaKey(LAYERS, "How does attention form through the layers?", "self"),
    MediaKey(PROBE, "What did the model see and predict?", "self"),
    MediaKey(HEADS, "Do heads look at different things?", "self"),
    MediaKey(WORD_RELEVANCE, "What decides each word, through all layers?", "text", wide=True),
    MediaKey(WORDS, "Which patches does each word look at?", "text", wide=True),
    MediaKey(SIMILARITY, "Which patches are like the text, and like each of its words?", "text", wide=True),
    MediaKey(MATRIX, "Which tokens share a patch, and which patch does every token read?", "text", wide=True),
    MediaKey(TEXT, "Which words decide the text's embedding?", "text", wide=True),
    MediaKey(VIEWER, "What does this patch or word attend to?", "explore"),
    MediaKey(ANIMATION, "How did attention form?", "explore"),
    *(MediaKey(f"attention_stats/{name}", f"How did {name.replace('_', ' ')} change, layer by layer?", "health")
      for name in STATISTICS),
    MediaKey(TRUST_SHEET, "Do the maps follow the model when tokens are dropped?", EVALUATION),
    MediaKey(TRUST_BLURRED, "Do the maps follow the model when patches are blurred?", EVALUATION),
    MediaKey(HEAD_IMPORTANCE, "Which heads does the model use?", EVALUATION),
    MediaKey(CONFUSION, "Which classes are confused?", EVALUATION),
    MediaKey(AVERAGE_PRECISION, "Which labels are recognized?", EVALUATION),
)  # fmt: skip


def train(metric: str) -> str:
    """Key of a training metric, mean since the previous row."""
    return f"train/{metric}"


def val(metric: str) -> str:
    """Key of a validation metric."""
    return f"val/{metric}"


def evaluation(split: str, name: str) -> str:
    """Key of a result of `evaluate.py` on a split: a metric, or another logged key."""
    return f"evaluation/{split}/{name}"


def statistic(name: str, over_layers: str | None = None) -> str:
    """Key of a statistic of attention: its mean, min or max over layers, or else its heat map or value."""
    return f"attention_stats/{name}" + (f"/{over_layers}" if over_layers else "")


def trust(*parts: str) -> str:
    """Key of a trust measurement of one method (`trust("raw", "gap")`) or of all (`trust("examples")`)."""
    return "/".join(("trust", *parts))


def grounding(name: str, measure: str, of: str = "grounding") -> str:
    """Key of a pointing measure of a method or layer; `of` is one of `grounding`, `grounding_mark` and
    `grounding/words`."""
    return f"{of}/{name}/{measure}"


def time(part: str) -> str:
    """Key of the duration of a part of a run in seconds."""
    return f"time/{part}_seconds"


@functools.cache
def lookup(key: str) -> MetricKey:
    """The row of a logged key; `evaluation/<split>/` is followed by another key or a metric.

    Raises:
        KeyError: for a key that is not declared.
    """
    found = re.fullmatch(r"evaluation/[^/]+/(.+)", key)
    for name in (key, found[1], val(found[1])) if found else (key,):
        for row in KEYS:
            if re.fullmatch(row.regex, name):
                return row
    raise KeyError(f"{key!r} is not declared in vitcross/metric_keys.py")


def lookup_media(key: str) -> MediaKey:
    """The row of a key of images or pages. Raises KeyError for one that is not declared."""
    return _MEDIA[key]


_MEDIA = {media.key: media for media in MEDIA}


def label(key: str) -> str:
    """The name of a single key: `Accuracy, average of the weights`."""
    row = lookup(key)
    curve = row.curves.get(key, row.unit)
    return row.title if curve in (row.title.lower(), row.unit) else f"{row.title}, {curve}"


def formatted(key: str, value: float) -> str:
    """A value as text in the format of its unit: `98.3%`, `1,210`, `0.4312`."""
    unit = lookup(key).unit
    return f"{value:.1%}" if unit == "share" else f"{value:,.0f}" if unit in _COUNTED else f"{value:.4g}"


_COUNTED = ("steps", "parameters", "images", "images/s")


def mode(key: str) -> str:
    """`"max"` or `"min"`: which value is the best.

    Raises:
        ValueError: where neither is better.
    """
    more = lookup(key).more_is_better
    if more is None:
        raise ValueError(f"a best value needs a metric of which more, or less, is better. Received: {key!r}")
    return "max" if more else "min"
