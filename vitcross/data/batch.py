"""Defines and checks the batch contract: the keys, shapes, dtypes and value ranges of a batch.

    images       (B, H, W, C) float32 in [-1, 1]
    labels       (B,) int32 in [0, num_classes); of data with several labels per image (B, K) float32, 1 for each label
                 of the image and 0 for the others
    valid        (B,) bool     False: a padding row of the last evaluation batch or an unreadable image; never counted
    index        (B,) int64    position of the example in its split
    box          (B, 4) float32 in [0, 1], optional: y_min, x_min, y_max, x_max of the object that decides the label
    num_objects  (B,) int32, optional: objects in the image
    mark_box     (B, 4) float32 in [0, 1], optional: box of a mark that reveals the class (`watermark.py`); without area
                 where an image has none

Batches of `ImageData.examples`, which maps are made of, may also have:

    mask         (B, H, W) bool  the pixels of the object that decides the label; all False where an image has none;
                 `box` is the box around it where the source has no box of its own

Training batches of mixed images (mixup, CutMix) also have:

    mixed_labels like `labels`: those of the image that was mixed in
    mixing       (B,) float32 in [0, 1]: share of `labels`; `mixed_labels` has the rest. 1: not mixed. All other keys,
                 boxes included, belong to the example of `labels`

Batches of pairs of an image and a text also have:

    token_ids         (B, T) int32   [BOS] tokens [EOS], then PAD = 0
    padding_mask      (B, T) bool    True: a real token, BOS and EOS among them
    text_id           (B,) int64     equal for equal texts of a split
    image_id          (B,) int64     position of the image among the images of the split
    question_type     (B,) int32     questions only: index into `data.question_types`
    annotator_answers (B, A) int32   questions with several annotators only: index of each answer, -1: none or unknown
    labels            (B,) int32     questions: index of the most frequent answer; captions: class of the image; -1:
                                     unknown

A training batch may have K texts of each image (`data.texts_per_image`): then `images` has B / K rows, and rows i K to
i K + K - 1 of the other keys belong to image i.

Shape letters: B batch, H W C pixels, K classes, T token positions, A annotators; K texts of an image.
"""

import numpy as np

REQUIRED_KEYS = {"images": np.float32, "labels": np.int32, "valid": np.bool_, "index": np.int64}
# Per-example shape and dtype of the keys that only some sources have.
OPTIONAL_KEYS = {"box": ((4,), np.float32), "num_objects": ((), np.int32), "mark_box": ((4,), np.float32)}
MIXING_KEYS = {"mixed_labels": np.int32, "mixing": np.float32}
LABEL_KEYS = ("labels", "mixed_labels")
BOX_KEYS = ("box", "mark_box")  # augmentation moves them with the pixels
# Keys of pairs: dtype and, if two-dimensional, the key with the length of the second axis.
TEXT_KEYS = {
    "token_ids": (np.int32, "padding_mask"),
    "padding_mask": (np.bool_, "padding_mask"),
    "text_id": (np.int64, None),
    "image_id": (np.int64, None),
    "question_type": (np.int32, None),
    "annotator_answers": (np.int32, "annotator_answers"),
}
_REQUIRED_OF_TEXTS = ("token_ids", "padding_mask", "text_id", "image_id")


def normalize(pixels):
    """uint8 pixels of any shape -> float32 in [-1, 1], bit for bit as the TensorFlow pipeline."""
    return np.asarray(pixels).astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(images):
    """Inverts `normalize`: float32 of any shape -> uint8; values outside [-1, 1] are clipped."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def labels_spec(num_classes, multilabel):
    """Shape and dtype of the labels of one example: an int32, or a row of K float32."""
    return ((num_classes,), np.float32) if multilabel else ((), np.int32)


def check_batch(batch, *, image_shape, num_classes, multilabel=False):
    """Raises ValueError unless `batch` fulfills the contract above.

    Args:
        batch: dict of NumPy arrays or eager tensors.
        image_shape: (height, width, channels) expected of the images.
        num_classes: int, labels of valid rows must lie in [0, num_classes).
        multilabel: bool, whether the data has several labels per image.
    """
    arrays = {key: np.asarray(value) for key, value in batch.items()}
    has_text = "token_ids" in arrays
    for key in (*REQUIRED_KEYS, *(_REQUIRED_OF_TEXTS if has_text else ())):
        if key not in arrays:
            raise ValueError(f"A batch needs the key '{key}'. Received keys: {sorted(arrays)}")
    num_images = arrays["images"].shape[0] if arrays["images"].ndim else 0
    several = has_text and arrays["index"].ndim and num_images and arrays["index"].size % num_images == 0
    size = arrays["index"].size if several else num_images
    shapes = {"images": (num_images, *image_shape), "labels": (size,), "valid": (size,), "index": (size,)}
    dtypes = dict(REQUIRED_KEYS)
    for key, (shape, dtype) in (OPTIONAL_KEYS | {key: ((), dtype) for key, dtype in MIXING_KEYS.items()}).items():
        shapes[key], dtypes[key] = (size, *shape), dtype
    for key in LABEL_KEYS:
        shape, dtypes[key] = labels_spec(num_classes, multilabel)
        shapes[key] = (size, *shape)
    for key in arrays.keys() & TEXT_KEYS.keys():
        dtypes[key], like = TEXT_KEYS[key]
        shapes[key] = (size,) if like is None else (size, *(arrays[like].shape[1:2] or ["n"]))
    for key in arrays.keys() & shapes.keys():
        if arrays[key].shape != shapes[key] or size == 0:
            raise ValueError(f"Batch key '{key}' must have shape {shapes[key]}, B > 0. Received: {arrays[key].shape}")
        if arrays[key].dtype != dtypes[key]:
            raise ValueError(
                f"Batch key '{key}' must have dtype {np.dtype(dtypes[key])}. Received: {arrays[key].dtype}"
            )
    if "mask" in arrays and (arrays["mask"].shape != arrays["images"].shape[:3] or arrays["mask"].dtype != np.bool_):
        raise ValueError(
            f"Batch key 'mask' must be bool of shape {arrays['images'].shape[:3]}. "
            f"Received: {arrays['mask'].dtype} {arrays['mask'].shape}"
        )
    _check_ranges(arrays, num_classes=num_classes, lowest_label=-1 if has_text else 0, multilabel=multilabel)
    if has_text:
        _check_tokens(arrays)


def _check_ranges(arrays, *, num_classes, lowest_label, multilabel):
    images, valid = arrays["images"], arrays["valid"]
    # The negation makes NaN fail too.
    if not (images.min() >= -1 and images.max() <= 1):
        raise ValueError(f"Batch key 'images' must lie in [-1, 1]. Received: [{images.min()}, {images.max()}]")
    for key in arrays.keys() & set(LABEL_KEYS):
        labels = arrays[key][valid]
        if multilabel:
            if not np.isin(labels, (0, 1)).all():
                raise ValueError(f"Batch key '{key}' must be 0 or 1 with several labels per image. Received: {labels}")
        elif labels.size and not (labels.min() >= lowest_label and labels.max() < num_classes):
            raise ValueError(
                f"Batch key '{key}' must lie in [{lowest_label}, {num_classes}) (num_classes). "
                f"Received: {labels.min()} to {labels.max()} (-1 is how TFDS marks a split without labels)"
            )
    if arrays.keys() & MIXING_KEYS.keys():
        _check_mixing(arrays)
    for key in arrays.keys() & set(BOX_KEYS):
        boxes = arrays[key][valid]
        y_min, x_min, y_max, x_max = boxes.T
        inside = (boxes >= 0).all() and (boxes <= 1).all()
        if not (inside and (y_min <= y_max).all() and (x_min <= x_max).all()):
            raise ValueError(f"Batch key '{key}' must be (y_min, x_min, y_max, x_max) in [0, 1] with min <= max.")


def _check_mixing(arrays):
    for key in MIXING_KEYS:
        if key not in arrays:
            raise ValueError(f"A batch of mixed images needs the key '{key}'. Received keys: {sorted(arrays)}")
    shares = arrays["mixing"]
    if not (shares.min() >= 0 and shares.max() <= 1):
        raise ValueError(f"Batch key 'mixing' must lie in [0, 1]. Received: [{shares.min()}, {shares.max()}]")


def _check_tokens(arrays):
    token_ids, real = arrays["token_ids"], arrays["padding_mask"]
    if token_ids.min() < 0 or not ((token_ids != 0) == real).all():
        raise ValueError("Batch key 'token_ids' must be >= 0, and 0 exactly where 'padding_mask' is False.")
    if (np.diff(real.astype(np.int8), axis=1) > 0).any() or not real[:, 0].all():
        raise ValueError("Batch key 'padding_mask' must be True first and False after the last token of each row.")
