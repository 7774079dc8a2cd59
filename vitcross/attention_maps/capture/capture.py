"""Captures the attention of a model on a batch, in inference mode and float32, touching no variables or random state.

The forward pass is compiled once per `Capture` and shape, as is the backward pass of relevance (`gradients.py`). Keras
is imported when a capture is made, so that the pure functions of this package load without it.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens or image tokens, K choices, P patches.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.capture.relevance import RelevanceExplainer, RelevanceMaps
from vitcross.attention_maps.methods.cross_rollout import cross_raw_map, cross_rollout_map, token_rollout_maps
from vitcross.attention_maps.records.label_part import LabelPart, ProbeLabels, labels_to_show
from vitcross.attention_maps.records.record import AttentionRecord, Prediction
from vitcross.attention_maps.records.text_part import TextPart


class Capture:
    """Captures the attention of one model; it can be called repeatedly and compiles only once per shape.

    Args:
        model: built model that implements `vitcross.models.explainable.Explainable`.
        explain: bool, also compute relevance, raw maps and rollout through both towers where the text reads the image,
            and the maps of each text token. Default False.

    Call arguments:
        batch: dict of arrays, the batch contract: the model's inputs with images (B, H, W, C) float32 in [-1, 1], and
            `labels`, `index`, `box`, `mask`, `mark_box` and `valid` where known. Rows with `valid` False are left out
            of the record.
        step: int, optimizer steps taken so far.
        class_names: tuple of str, the classes or answers that a model chooses from.
        texts: list of B `ProbeText`, for a model that reads text.
        describe_predictions: callable or None, for a model that reads text or whose choices have no probabilities:
            batch -> list of B str or `Prediction`, the prediction for each example, to which the pair's text is added.
            None: only the texts are shown.
        explain: bool, whether to explain this batch, where the object was made with `explain`. Default True.
        target: with `explain`, what is explained: `wanted` of `choose_target`. None: the most probable choice, or in a
            caption the word for the first object with a box.
        every_token: bool, with `explain`, compute the maps of each text token, which in a captioner takes one pass per
            position, and of several labels per image, which takes one pass each. Default True.
        labels: `ProbeLabels`, of a model of several labels per image; None: a threshold of 1/2, and no boxes.

    Returns:
        AttentionRecord, with `text` for a model that reads text.

    Raises:
        ValueError: missing `texts`, or another number of them than images; a `target` without `explain`, or an unknown
            one; with `explain`, a model without anything to explain.
    """

    def __init__(self, model, explain: bool = False):
        self.model = model
        self._run = _compiled_forward(model)
        self._explainer = RelevanceExplainer(model) if explain else None

    def __call__(
        self,
        batch,
        step: int = 0,
        class_names: tuple[str, ...] = (),
        texts=None,
        describe_predictions=None,
        explain: bool = True,
        target=None,
        every_token: bool = True,
        labels: ProbeLabels | None = None,
    ):
        explainer = self._explainer if explain else None
        if target is not None and explainer is None and not self.model.multilabel:
            raise ValueError(f"`target` needs a capture with explain=True. Received: target={target!r}")
        class_names, texts = tuple(class_names), self._checked_texts(texts, batch)
        found, weights = self._run(batch)
        record = self._record(batch, found, weights, texts, describe_predictions, class_names, step, labels)
        if explainer is None and not self.model.multilabel:
            return record
        known = {"logits": found.get("logits"), "class_names": class_names, "texts": texts}
        target, names = self.model.choose_target(target, size=len(found["token_norms"]), **known)
        keep = _kept(batch)
        if explainer is None:  # the boxes of labels depend on which one is explained, by whatever map
            return dataclasses.replace(record, targets=_kept_of(names, keep))
        # The whole batch is explained, since its shape is the compiled one.
        record = _with_maps(record, explainer.explain(batch, target, every_token=every_token), names, keep)
        if self.model.multilabel and every_token:
            record = _with_label_maps(record, explainer, batch, target, keep)
        return record

    def _checked_texts(self, texts, batch):
        size = len(batch[self.model.batch_keys[0]])
        if self.model.words is not None and (texts is None or len(texts) != size):
            received = "None" if texts is None else len(texts)
            raise ValueError(
                f"`texts` must be one `ProbeText` for each of the {size} images (`probe_texts` and `text_from_user` "
                f"make them). Received: {received}"
            )
        return texts

    def _record(self, batch, found, weights, texts, describe_predictions, class_names, step, labels) -> AttentionRecord:
        from scipy.special import expit, softmax  # here: `import vitcross.attention_maps` stays light

        from vitcross.data.batch import to_uint8

        model, keep = self.model, _kept(batch)
        images, image_tower = np.asarray(batch[model.batch_keys[0]], np.float32), model.towers[0]
        text = None if model.words is None else self._text(batch, found, weights, texts, keep)
        known = {}
        if text is None:
            dtypes = {
                "labels": ("labels", np.int32),
                "box": ("boxes", np.float32),
                "mask": ("masks", bool),
                "mark_box": ("mark_boxes", np.float32),
            }
            if model.multilabel:
                known = {"label_part": _label_part(batch, labels or ProbeLabels(), keep)}
                del dtypes["labels"], dtypes["box"]
            known |= {name: _rows(batch[key], keep, dtype) for key, (name, dtype) in dtypes.items() if key in batch}
        if text is None and "logits" in found:
            logits = _rows(found["logits"], keep, np.float64)
            probabilities = expit(logits) if model.multilabel else softmax(logits, axis=-1)
            known |= {"class_names": class_names, "probabilities": probabilities.astype(np.float32)}
        else:
            predictions = _predictions(batch, len(images), texts, describe_predictions)
            known |= {"class_names": (), "probabilities": None, "predictions": _kept_of(predictions, keep)}
        return AttentionRecord(
            step=int(step),
            images=np.asarray(to_uint8(images))[keep],
            example_index=_rows(batch.get("index", np.full(len(images), -1)), keep, np.int64),
            weights={address: _rows(weights[address], keep, np.float32) for address in image_tower.attention_addresses},
            token_layout=model.token_layout_for(tuple(images.shape[1:3])),
            # Where the text reads every image token, no single row is the answer.
            pooling=image_tower.pooling or "gap",
            patch_size=tuple(int(size) for size in model.patch_size),
            token_norms=_rows(found["token_norms"], keep, np.float32),
            text=text,
            **known,
        )

    def _text(self, batch, found, weights, texts, keep) -> TextPart:
        tower = self.model.words
        similarities = {name: found[name] for name in ("text_similarity", "word_similarity") if name in found}
        return TextPart(
            texts=_kept_of(texts, keep),
            padding_mask=_rows(batch["padding_mask"], keep, bool),
            weights={address: _rows(weights[address], keep, np.float32) for address in tower.attention_addresses},
            predicts_next=tower.predicts_next,
            pooling=tower.pooling,
            **{name: _rows(array, keep, np.float32) for name, array in similarities.items()},
        )


def capture(model, batch, step: int = 0, *, explain: bool = False, **options):
    """Makes one capture, with the arguments of `Capture` and of its call; for several, keep a `Capture`."""
    return Capture(model, explain)(batch, step=step, **options)


def _compiled_forward(model):
    """A function of a batch that returns arrays by name and weights by address, in depth order, all float32 NumPy.

    The arrays are `token_norms` (B, S) of the image tokens before the final norm, `logits` (B, K) where the model has
    choices, and the cosines of `Explainable.similarities`.
    """
    from keras import ops

    from vitcross.models.compiled import compiled

    def forward(inputs):
        reading = model.read(model.embed(inputs[model.batch_keys[0]], training=False), inputs)
        logits = model.logits_of(reading.outputs)
        arrays = {
            "token_norms": ops.sqrt(ops.sum(ops.square(ops.cast(reading.tokens, "float32")), axis=-1)),
            **({} if logits is None else {"logits": logits}),
            **model.similarities(inputs, reading.outputs),
        }
        return tuple({k: ops.cast(x, "float32") for k, x in part.items()} for part in (arrays, reading.weights))

    run = compiled(model, forward, as_numpy=True)
    return lambda batch: run(model.inputs_of(batch))


def _with_maps(record: AttentionRecord, found: RelevanceMaps, targets, keep) -> AttentionRecord:
    """The record with its `targets` and `maps`, and for texts with `text.text_maps` and `text.token_maps`."""
    target, maps, text = found.target[keep], {"relevance": found.image[keep]}, record.text
    # Where no text reads the image, raw and rollout are computed from the weights when needed.
    if record.cross_attention:
        maps = _float32({"raw": cross_raw_map(record, target), "rollout": cross_rollout_map(record, target)}) | maps
    if text is not None:
        tokens = {}
        if found.tokens is not None:
            tokens = {"relevance": found.tokens[keep]} | _float32({"rollout": token_rollout_maps(record)})
        text = dataclasses.replace(text, token_maps=tokens, text_maps={"relevance": found.text[keep]})
    return dataclasses.replace(record, maps=maps, targets=_kept_of(targets, keep), text=text)


def _label_part(batch, labels: ProbeLabels, keep) -> LabelPart:
    """The labels of a batch (B, K), where known, with what the caller knows of them."""
    present = _rows(batch["labels"], keep, np.float32) > 0.5 if np.ndim(batch.get("labels")) == 2 else None
    boxes = () if labels.boxes is None else _kept_of(labels.boxes, keep)
    return LabelPart(threshold=float(labels.threshold()), present=present, boxes=boxes)


def _with_label_maps(record: AttentionRecord, explainer, batch, target, keep) -> AttentionRecord:
    """The record with relevance for its target, already in `maps`, and for the other labels of `labels_to_show`."""
    part = record.label_part
    shown = labels_to_show(record.probabilities, part.present, part.threshold, target[keep])
    maps = [record.maps["relevance"]]
    for column in shown.T[1:]:
        each = target.copy()
        each[keep] = np.where(column < 0, target[keep], column)
        maps.append(explainer.explain(batch, each, every_token=False).image[keep] * (column >= 0)[:, None])
    part = dataclasses.replace(part, shown=shown, maps=np.stack(maps, axis=1).astype(np.float32))
    return dataclasses.replace(record, label_part=part)


def _float32(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {method: array.astype(np.float32) for method, array in maps.items()}


def _kept(batch) -> np.ndarray:
    """(B,) bool, the rows that belong in the record."""
    return np.asarray(batch["valid"], bool) if "valid" in batch else np.ones(len(next(iter(batch.values()))), bool)


def _kept_of(items, keep) -> tuple:
    return tuple(item for item, kept in zip(items, keep, strict=True) if kept)


def _rows(array, keep, dtype) -> np.ndarray:
    return np.asarray(array, dtype)[keep]


def _predictions(batch, size: int, texts, describe_predictions) -> list[Prediction]:
    """The prediction for every example, with its text and the rest of the ground truth."""
    texts = [""] * size if texts is None else [text.text for text in texts]
    if describe_predictions is None:
        return [Prediction(text) for text in texts]
    described = list(describe_predictions(batch))
    if len(described) != size:
        raise ValueError(
            f"`describe_predictions` must give one line for each of the {size} pairs. Received: {len(described)}"
        )
    found = []
    for text, what in zip(texts, described, strict=True):
        what = Prediction(what) if isinstance(what, str) else Prediction(*what)
        known = f" ({what.truth})" if what.truth not in ("", text) else ""
        found.append(what._replace(truth=text + known) if text else what)
    return found
