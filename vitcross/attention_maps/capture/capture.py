"""Runs a model on a batch and keeps what it attended to: in inference mode, float32, touching neither variables nor
random state. The forward pass is compiled once per capture object and shape (`forward.py`), as is the pass backward
that relevance needs (`gradients.py`).

Keras is imported when a capture is made: the pure functions of this room load without it.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, D width, K classes, P patches.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.capture.explain import explain_rows, with_pair_maps, with_relevance
from vitcross.attention_maps.capture.forward import compiled_forward
from vitcross.attention_maps.capture.relevance import RelevanceExplainer
from vitcross.attention_maps.records.record import AttentionRecord, Verdict
from vitcross.attention_maps.records.text_record import ImageTextRecord


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
        says: callable or None, for image-text models: batch -> list of B str or `Verdict`, what the model says of each
            pair; the pair's text is added. None: only the texts are shown.
        explain: bool, of a capture made with `explain`: whether this one is explained too. Default True.
        target: with `explain`, what is explained: `wanted` of `choose_target`. None: what is most probable; of a
            caption the word for the first object with a box.
        every_token: bool, with `explain`, also the maps of each text token; of a captioner they need a pass for each
            position. Default True.

    Returns:
        AttentionRecord of a `VisionTransformer`, else ImageTextRecord.

    Raises:
        ValueError: an image-text model without `texts`, or another number of them than images; a `target` without
            `explain`, or one that is not there; with `explain`, a vision transformer without classes.
    """

    def __init__(self, model, explain: bool = False):
        self.model = model
        self._with_text = model.words is not None
        self._run = compiled_forward(model)
        self._explainer = RelevanceExplainer(model) if explain else None

    def __call__(
        self,
        batch,
        step: int = 0,
        class_names: tuple[str, ...] = (),
        texts=None,
        says=None,
        explain: bool = True,
        target=None,
        every_token: bool = True,
    ):
        explainer = self._explainer if explain else None
        if target is not None and explainer is None:
            raise ValueError(f"`target` needs a capture with explain=True. Received: target={target!r}")
        options = {"target": target, "class_names": tuple(class_names), "every_token": every_token}
        if self._with_text:
            return self._capture_pairs(batch, step, texts, says, explainer, options)
        found, weights = self._run(batch)
        logits, token_norms = found["logits"], found["token_norms"]
        keep = _kept(batch)
        record = _image_record(
            self.model,
            batch,
            step=step,
            weights=weights,
            token_norms=token_norms,
            pooling=self.model.pooling,
            labels=_rows(batch["labels"], keep, np.int32) if "labels" in batch else None,
            boxes=_rows(batch["box"], keep, np.float32) if "box" in batch else None,
            mark_boxes=_rows(batch["mark_box"], keep, np.float32) if "mark_box" in batch else None,
            probabilities=_softmax(_rows(logits, keep, np.float64)).astype(np.float32),
            class_names=tuple(class_names),
        )
        if explainer is None:
            return record
        return with_relevance(record, *explain_rows(explainer, batch, keep, logits=logits, **options))

    def _capture_pairs(self, batch, step, texts, says, explainer, options) -> ImageTextRecord:
        if texts is None or len(texts) != len(batch["images"]):
            received = "None" if texts is None else len(texts)
            raise ValueError(
                f"`texts` must be one `ProbeText` for each of the {len(batch['images'])} images (`probe_texts` and "
                f"`text_from_user` make them). Received: {received}"
            )
        padding_mask = np.asarray(batch["padding_mask"], bool)
        found, weights = self._run(batch)
        text_similarity, word_similarity = found.get("text_similarity"), found.get("word_similarity")
        keep = _kept(batch)
        image_tower, text_tower = self.model.towers
        towers = _by_tower(weights)
        image = _image_record(
            self.model,
            batch,
            step=step,
            weights=towers["image"],
            token_norms=found["token_norms"],
            # Where every token is read by the text, no single row of the image is the answer.
            pooling=image_tower.pooling or "gap",
            verdicts=_verdicts(batch, texts, says, keep),
        )
        record = ImageTextRecord(
            image=image,
            texts=tuple(text for text, kept in zip(texts, keep, strict=True) if kept),
            padding_mask=padding_mask[keep],
            weights={address: _rows(w, keep, np.float32) for address, w in towers["text"].items()},
            predicts_next=text_tower.predicts_next,
            text_pooling=text_tower.pooling,
            text_similarity=None if text_similarity is None else _rows(text_similarity, keep, np.float32),
            word_similarity=None if word_similarity is None else _rows(word_similarity, keep, np.float32),
        )
        if explainer is None:
            return record
        known = {**options, "texts": texts, "logits": found.get("logits")}
        return with_pair_maps(record, *explain_rows(explainer, batch, keep, **known))


def capture(model, batch, step: int = 0, *, explain: bool = False, **options):
    """One capture; for several of one model keep a `Capture`, which compiles once.

    Args and Returns: as of `Capture(model, explain)` and of calling it.
    """
    return Capture(model, explain)(batch, step=step, **options)


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


def _verdicts(batch, texts, says, keep) -> tuple[Verdict, ...]:
    """What the model says of every kept pair, beside the pair's text and what else is true."""
    said = [None] * len(texts) if says is None else list(says(batch))
    if len(said) != len(texts):
        raise ValueError(f"`says` must give one line for each of the {len(texts)} pairs. Received: {len(said)}")
    found = []
    for text, what in zip(texts, said, strict=True):
        if what is None:
            found.append(Verdict(text.text))
            continue
        what = Verdict(what) if isinstance(what, str) else Verdict(*what)
        known = f" ({what.truth})" if what.truth not in ("", text.text) else ""
        found.append(what._replace(truth=text.text + known))
    return tuple(verdict for verdict, kept in zip(found, keep, strict=True) if kept)


def _image_record(model, batch, *, step, weights, token_norms, pooling, probabilities=None, class_names=(), **known):
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


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
