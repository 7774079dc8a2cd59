"""Finds which columns of a Hugging Face data set hold the images, labels, texts and answers, or checks those named."""

import dataclasses

IMAGE_NAMES = (
    "image", "img", "images", "picture", "photo", "pixel_values", "jpg", "jpeg", "png", "webp", "file_name",
    "image_path", "image_file", "filename", "filepath", "file_path", "file", "path",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "classes", "class_name", "category", "categories", "target", "targets", "tag", "tags",
    "class_label", "cls", "y", "digit",
)  # fmt: skip
TEXT_NAMES = (
    "text", "texts", "caption", "captions", "sentence", "sentences", "description", "descriptions", "txt", "alt_text",
    "prompt", "title",
)  # fmt: skip
QUESTION_NAMES = ("question", "questions", "query", "text")
ANSWER_NAMES = ("multiple_choice_answer", "answers", "answer", "label")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns; None: there is none, or it was not looked for."""

    image: str
    label: str | None = None
    text: str | None = None
    answer: str | None = None

    def told(self):
        """`image from 'img', label from 'label'`."""
        found = dataclasses.asdict(self)
        return ", ".join(f"{kind} from '{name}'" for kind, name in found.items() if name is not None)


def find_columns(features, *, reads, named):
    """The `Columns` of a data set.

    Args:
        features: `datasets.Features`.
        reads: `labels`, `several labels` (lists), `captions` (with a label if there is one) or `questions`.
        named: dict of kind (`image`, `label`, `text`, `answer`) to the name that was typed, or None.

    Raises:
        ValueError: for a name that does not exist, a column of another type, and where no column or more than one can
            be meant.
    """
    pick = _Picker(features, named)
    found = {"image": pick("image", _image_rank, IMAGE_NAMES)}
    if reads in ("labels", "several labels"):
        rank = _one_label_rank if reads == "labels" else _labels_rank
        found["label"] = pick("label", rank, LABEL_NAMES)
    elif reads == "captions":
        found["text"] = pick("text", _text_rank, TEXT_NAMES, unless=found["image"])
        found["label"] = pick("label", _one_label_rank, None)  # of use beside a caption, but not needed
    else:
        found["text"] = pick("text", _text_rank, QUESTION_NAMES, unless=found["image"])
        found["answer"] = pick("answer", _answer_rank, ANSWER_NAMES)
    return Columns(**found)


def kind_of(feature):
    """`(kind, is_list)` of a feature: `image`, `class`, `bytes`, `text`, `int`, `bool` or the name of another type."""
    item = _item(feature)
    is_list = item is not None
    feature = item if is_list else feature
    name = type(feature).__name__
    if name in ("Image", "ClassLabel"):
        return {"Image": "image", "ClassLabel": "class"}[name], is_list
    if isinstance(feature, dict):
        return ("image" if {"bytes", "path"} >= feature.keys() and "bytes" in feature else "dict"), is_list
    dtype = str(getattr(feature, "dtype", name)) if name == "Value" else name
    for kind, beginnings in _KINDS.items():
        if dtype.startswith(beginnings):
            return kind, is_list
    return dtype, is_list


_KINDS = {
    "bytes": ("binary", "large_binary"),
    "text": ("string", "large_string"),
    "int": ("int", "uint"),
    "bool": ("bool",),
}


def described(features):
    """`image (image), label (class)`, for messages."""
    words = []
    for name, feature in features.items():
        kind, is_list = kind_of(feature)
        words.append(f"{name} ({'list of ' if is_list else ''}{kind})")
    return ", ".join(words) or "none"


def _item(feature):
    """What a list holds; None for anything but a list."""
    if isinstance(feature, list):
        return feature[0]
    return feature.feature if type(feature).__name__ in ("List", "LargeList", "Sequence") else None


# Each rank says whether a column can be meant: 0 by its type alone, 1 if its name says so too, None: never.


def _image_rank(feature):
    kind, is_list = kind_of(feature)
    return None if is_list else {"image": 0, "bytes": 1, "text": 1}.get(kind)


def _one_label_rank(feature):
    kind, is_list = kind_of(feature)
    return None if is_list else {"class": 0, "int": 1, "text": 1, "bool": 1}.get(kind)


def _labels_rank(feature):
    return _one_label_rank(_item(feature)) if kind_of(feature)[1] else None


def _text_rank(feature):
    return 1 if kind_of(feature)[0] == "text" else None


def _answer_rank(feature):
    kind, is_list = kind_of(feature)
    if kind == "dict" and is_list and "answer" in _item(feature):
        return 1
    return 1 if kind in ("text", "int", "bool", "class") else None


class _Picker:
    def __init__(self, features, named):
        self._features, self._named = features, named

    def __call__(self, kind, rank, names, *, unless=None):
        """The column that was named; else the only one whose type says it, the first of `names`, or the only possible.

        With `names` None only a type can say it, and without one there is no column.
        """
        ranks = {name: rank(feature) for name, feature in self._features.items() if name != unless}
        usable = {name: value for name, value in ranks.items() if value is not None}
        typed = self._named.get(kind)
        if typed is not None:
            if typed not in usable:
                rule = f"able to hold the {kind}" if typed in self._features else "one of the data"
                raise ValueError(f"data.{kind}_column must be {rule}: {self._described(kind)}. Received: {typed}")
            return typed
        sure = [name for name, value in usable.items() if value == 0]
        folded = {name.casefold(): name for name in (sure or usable)}
        named = [folded[name] for name in names or () if name in folded]
        if len(sure) == 1 or named:
            return sure[0] if len(sure) == 1 else named[0]
        if names is None:
            return None
        if kind == "text" and len(usable) == 1:
            return next(iter(usable))
        found = f"{len(sure)} columns can hold" if sure else "no column is known to hold"
        raise ValueError(
            f"data.{kind}_column must name a column: {found} the {kind}. Received: null; the data has "
            f"{self._described(kind)}"
        )

    def _described(self, kind):
        hint = " (task=multilabel reads lists of labels, task=classification one label)" if kind == "label" else ""
        if hint and len(self._features) == 1:  # `datasets` gives no label where folders lie at several depths
            hint = " (images in folders of their classes: data=image_folder data.root=DIR)"
        return described(self._features) + hint
