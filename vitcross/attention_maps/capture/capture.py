"""Runs a model on a batch and keeps what it attended to: in inference mode, float32, touching neither variables nor
random state. The forward pass is compiled once per capture object and shape (`forward.py`), as is the pass backward
that relevance needs (`gradients.py`).

Keras is imported when a capture is made: the pure functions of this room load without it.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, D width, K classes, P patches.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.capture.explain import explain_rows, with_maps
from vitcross.attention_maps.capture.forward import compiled, forward_images, forward_pairs
from vitcross.attention_maps.capture.relevance import RelevanceExplainer
from vitcross.attention_maps.records.record import AttentionRecord, Prediction
from vitcross.attention_maps.records.text_part import TextPart


class Capture:
    """Captures attention of one model, as often as it is called.

    Args:
        model: built `VisionTransformer`, `DualEncoder`, `CaptioningModel` or `QuestionAnsweringModel`.
        explain: bool, the record also holds relevance, where the text reads the image raw maps and rollout through
            both towers, and of image-text models the maps of each text token (`explained.py`). Default False.

    Call arguments:
        batch: dict of arrays, the batch contract: `images` (B, H, W, C) float32 in [-1, 1]; `labels`, `index`,
            `box`, `mark_box` and `valid` where known; for image-text models `token_ids` and `padding_mask`. Rows with
            `valid` False are left out of the record.
        step: int, optimizer steps taken so far.
        class_names: tuple of str, one for every output of a classifier; the answers of a model that answers questions.
        texts: list of B `ProbeText`, for image-text models.
        describe_predictions: callable or None, for image-text models: batch -> list of B str or `Prediction`, what the
            model predicts for each pair; the pair's text is added. None: only the texts are shown.
        explain: bool, of a capture made with `explain`: whether this one is explained too. Default True.
        target: with `explain`, what is explained: `wanted` of `choose_target`. None: what is most probable; of a
            caption the word for the first object with a box.
        every_token: bool, with `explain`, also the maps of each text token; of a captioner they need a pass for each
            position. Default True.

    Returns:
        AttentionRecord, of an image-text model with `text`.

    Raises:
        ValueError: an image-text model without `texts`, or another number of them than images; a `target` without
            `explain`, or one that is not there; with `explain`, a vision transformer without classes.
    """

    def __init__(self, model, explain: bool = False):
        self.model = model
        self._with_text = hasattr(model, "image_encoder")
        self._run = compiled(model, forward_pairs if self._with_text else forward_images)
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
    ):
        from scipy.special import softmax  # here: `import vitcross.attention_maps` stays light

        explainer = self._explainer if explain else None
        if target is not None and explainer is None:
            raise ValueError(f"`target` needs a capture with explain=True. Received: target={target!r}")
        options = {"target": target, "class_names": tuple(class_names), "every_token": every_token}
        if self._with_text:
            return self._capture_pairs(batch, step, texts, describe_predictions, explainer, options)
        (logits, token_norms), weights = self._run(_float(batch["images"]))
        keep = _kept(batch)
        record = _record(
            self.model,
            batch,
            step=step,
            weights=weights,
            token_norms=token_norms,
            pooling=self.model.pooling,
            labels=_rows(batch["labels"], keep, np.int32) if "labels" in batch else None,
            boxes=_rows(batch["box"], keep, np.float32) if "box" in batch else None,
            mark_boxes=_rows(batch["mark_box"], keep, np.float32) if "mark_box" in batch else None,
            probabilities=softmax(_rows(logits, keep, np.float64), axis=-1).astype(np.float32),
            class_names=tuple(class_names),
        )
        if explainer is None:
            return record
        return with_maps(record, *explain_rows(explainer, batch, keep, logits=logits, **options))

    def _capture_pairs(self, batch, step, texts, describe_predictions, explainer, options) -> AttentionRecord:
        if texts is None or len(texts) != len(batch["images"]):
            received = "None" if texts is None else len(texts)
            raise ValueError(
                f"`texts` must be one `ProbeText` for each of the {len(batch['images'])} images (`probe_texts` and "
                f"`text_from_user` make them). Received: {received}"
            )
        padding_mask = np.asarray(batch["padding_mask"], bool)
        token_ids = np.asarray(batch["token_ids"], np.int32)
        (token_norms, *outputs), weights = self._run(_float(batch["images"]), token_ids, padding_mask)
        text_similarity, word_similarity = outputs if len(outputs) == 2 else (None, None)
        keep = _kept(batch)
        text_tower = text_tower_of(self.model)
        towers = _by_tower(weights)
        text = TextPart(
            texts=tuple(text for text, kept in zip(texts, keep, strict=True) if kept),
            padding_mask=padding_mask[keep],
            weights={address: _rows(w, keep, np.float32) for address, w in towers["text"].items()},
            predicts_next=hasattr(self.model, "text_decoder"),
            pooling=text_tower.pooling,
            text_similarity=None if text_similarity is None else _rows(text_similarity, keep, np.float32),
            word_similarity=None if word_similarity is None else _rows(word_similarity, keep, np.float32),
        )
        record = _record(
            self.model,
            batch,
            step=step,
            weights=towers["image"],
            token_norms=token_norms,
            # Where every token is read by the text, no single row of the image is the answer.
            pooling=self.model.image_encoder.pooling if text_similarity is not None else "gap",
            predictions=_predictions(batch, texts, describe_predictions, keep),
            text=text,
        )
        if explainer is None:
            return record
        logits = outputs[0] if len(outputs) == 1 else None
        known = {**options, "texts": texts, "logits": logits}
        return with_maps(record, *explain_rows(explainer, batch, keep, **known))


def capture(model, batch, step: int = 0, *, explain: bool = False, **options):
    """One capture; for several of one model keep a `Capture`, which compiles once.

    Args and Returns: as of `Capture(model, explain)` and of calling it.
    """
    return Capture(model, explain)(batch, step=step, **options)


def text_tower_of(model):
    """The `TextTransformer` of an image-text model."""
    return model.text_decoder if hasattr(model, "text_decoder") else model.text_encoder


def _float(images) -> np.ndarray:
    return np.asarray(images, np.float32)


def _kept(batch) -> np.ndarray:
    """(B,) bool, the rows that belong into the record."""
    return np.asarray(batch["valid"], bool) if "valid" in batch else np.ones(len(batch["images"]), bool)


def _rows(array, keep, dtype) -> np.ndarray:
    return np.asarray(array, dtype)[keep]


def _by_tower(weights: dict) -> dict[str, dict]:
    towers = {"image": {}, "text": {}}
    for address, array in weights.items():
        towers["image" if address.startswith("image_encoder/") else "text"][address] = array
    return towers


def _predictions(batch, texts, describe_predictions, keep) -> tuple[Prediction, ...]:
    """What the model predicts for every kept pair, beside the pair's text and what else is true."""
    described = [None] * len(texts) if describe_predictions is None else list(describe_predictions(batch))
    if len(described) != len(texts):
        raise ValueError(
            f"`describe_predictions` must give one line for each of the {len(texts)} pairs. Received: {len(described)}"
        )
    found = []
    for text, what in zip(texts, described, strict=True):
        if what is None:
            found.append(Prediction(text.text))
            continue
        what = Prediction(what) if isinstance(what, str) else Prediction(*what)
        known = f" ({what.truth})" if what.truth not in ("", text.text) else ""
        found.append(what._replace(truth=text.text + known))
    return tuple(prediction for prediction, kept in zip(found, keep, strict=True) if kept)


def _record(model, batch, *, step, weights, token_norms, pooling, probabilities=None, class_names=(), **known):
    from vitcross.data.batch import to_uint8

    images, keep = _float(batch["images"]), _kept(batch)
    return AttentionRecord(
        step=int(step),
        images=np.asarray(to_uint8(images))[keep],
        probabilities=probabilities,
        class_names=class_names,
        example_index=_rows(batch.get("index", np.full(len(images), -1)), keep, np.int64),
        weights={address: _rows(w, keep, np.float32) for address, w in weights.items()},
        token_layout=model.token_layout_for(tuple(images.shape[1:3])),
        pooling=pooling,
        patch_size=tuple(int(size) for size in model.patch_size),
        token_norms=_rows(token_norms, keep, np.float32),
        **known,
    )
