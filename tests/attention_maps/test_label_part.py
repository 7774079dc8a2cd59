"""Several labels per image in records, captures, measurements and the viewer; a map for each label."""

import keras
import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, B, K, random_record
from vitcross.attention_maps import AttentionRecord, Capture, prediction, relevance, sheets
from vitcross.attention_maps.records.label_part import LabelPart, ProbeLabels, labels_to_show, targets_to_measure
from vitcross.attention_maps.trust.checks import MapEvaluator
from vitcross.attention_maps.trust.evaluation_examples import explained_boxes
from vitcross.attention_maps.viewer.capture import compact, example_facts
from vitcross.attention_maps.viewer.rows import LEVELS
from vitcross.metric_keys import LABELS
from vitcross.models import VisionTransformer
from vitcross.models.explainable import probability_of

NAMES = ("cat", "dog", "elk", "fox", "gnu")
BOX = np.array([[0.1, 0.2, 0.6, 0.7]], np.float32)


def label_record(**changes):
    random = np.random.default_rng(4)
    probabilities = random.random((B, K)).astype("f")
    present = random.random((B, K)) < 0.2
    shown = labels_to_show(probabilities, present, 0.8, probabilities.argmax(1))
    maps = random.random((B, shown.shape[1], LAYOUT.num_patches)).astype("f") * (shown >= 0)[..., None]
    boxes = tuple({int(k): np.repeat(BOX, 1 + k % 2, axis=0) for k in np.flatnonzero(row)} for row in present)
    part = LabelPart(threshold=0.8, present=present, boxes=boxes, shown=shown, maps=maps)
    targets = tuple(f"class {k}" for k in probabilities.argmax(1))
    fields = {"labels": None, "boxes": None, "probabilities": probabilities, "label_part": part, "targets": targets}
    return random_record(depth=2, **fields | {"maps": {"relevance": maps[:, 0]}} | changes)


def network(seed=1):
    keras.utils.set_random_seed(seed)
    sizes = {"image_size": (6, 10), "patch_size": 2, "embed_dim": 8, "depth": 2, "num_heads": 2}
    return VisionTransformer(num_classes=5, pooling="gap", multilabel=True, **sizes)


def batch(size=7):
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (size, 6, 10, 3)).astype("f")
    labels = (random.random((size, 5)) < 0.4).astype("f")
    labels[2] = 0
    return {"images": images, "labels": labels, "valid": np.arange(size) != 5, "index": np.arange(size)}


def test_a_record_is_what_was_saved(tmp_path):
    record = label_record()
    record.save(tmp_path / "record.npz")
    loaded = AttentionRecord.load(tmp_path / "record.npz").take([5, 2])
    part, wanted = loaded.label_part, record.label_part
    for name in ("present", "shown", "maps"):
        np.testing.assert_array_equal(getattr(part, name), getattr(wanted, name)[[5, 2]])
    assert [set(each) for each in part.boxes] == [set(wanted.boxes[row]) for row in (5, 2)]
    for row, boxes in enumerate(part.boxes):
        for k, found in boxes.items():
            np.testing.assert_array_equal(found, wanted.boxes[(5, 2)[row]][k])
    with pytest.raises(ValueError, match="`maps` must have the shape"):
        label_record(label_part=LabelPart(threshold=0.5, shown=wanted.shown, maps=wanted.maps[:, :, 1:]))


def test_shown_are_the_target_then_what_is_there_or_predicted():
    probabilities = np.array([[0.1, 0.9, 0.6, 0.2], [0.3, 0.2, 0.1, 0.4]])
    present = np.array([[True, False, False, True], [False, False, False, False]])
    shown = labels_to_show(probabilities, present, 0.5, np.array([2, 3]))
    np.testing.assert_array_equal(shown, [[2, 1, 3, 0], [3, -1, -1, -1]])
    np.testing.assert_array_equal(labels_to_show(probabilities, None, 0.5, np.array([1, 0])), [[1, 2], [0, -1]])


def test_words_of_a_prediction_name_every_label_above_the_threshold():
    probabilities = np.array([[0.9, 0.2, 0.6], [0.2, 0.7, 0.1], [0.3, 0.2, 0.1]], "f")
    present = np.array([[True, False, True], [True, False, False], [False, False, False]])
    record = label_record().take([0, 1, 2])
    record = AttentionRecord(**{**vars(record), "probabilities": probabilities, "class_names": NAMES[:3], "maps": {},
        "targets": (), "label_part": LabelPart(threshold=0.5, present=present)})  # fmt: skip
    assert prediction(record, 0) == ("cat 90 %, elk 60 %", "right", True)
    assert prediction(record, 1) == ("dog 70 %", "true: cat", False)
    assert prediction(record, 2) == ("none (most: cat 30 %)", "right", True)


def test_the_boxes_are_those_of_the_explained_label():
    record = label_record()
    found = explained_boxes(record)
    for b, target in enumerate(record.probabilities.argmax(1)):
        np.testing.assert_array_equal(found[b], record.label_part.boxes[b].get(int(target), np.zeros((0, 4))))


def test_measured_labels_are_there_and_do_not_depend_on_the_portion():
    present, indices = np.random.default_rng(2).random((97, 5)) < 0.4, np.arange(97)
    chosen = targets_to_measure(present, indices, seed=3)
    assert all(row[k] if k >= 0 else not row.any() for row, k in zip(present, chosen, strict=True))
    np.testing.assert_array_equal(targets_to_measure(present[40:], indices[40:], seed=3), chosen[40:])
    assert set(chosen) == {-1, 0, 1, 2, 3, 4} and (targets_to_measure(present, indices, seed=4) != chosen).any()


def test_probabilities_are_sigmoids():
    logits = np.array([[2.0, -1.0, 0.5], [-3.0, -2.0, -4.0]], "f")
    probability, correct, most = map(np.asarray, probability_of(logits, np.array([1, -1], "int32"), multilabel=True))
    np.testing.assert_allclose(probability, 1 / (1 + np.exp([1.0, 2.0])), rtol=1e-6)
    assert correct.tolist() == [False, False] and most.tolist() == [0, 1]


def test_every_label_has_its_own_map_and_trust_is_measured_for_one_that_is_there():
    model, examples = network(), batch()
    keep = examples["valid"]
    labels = ProbeLabels(boxes=tuple(dict.fromkeys(np.flatnonzero(row), BOX) for row in examples["labels"]))
    capture = Capture(model, explain=True)
    record = capture(examples, class_names=NAMES, labels=labels)
    part, logits = record.label_part, np.asarray(model(examples["images"]))[keep]
    np.testing.assert_allclose(record.probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-4)
    np.testing.assert_array_equal(part.present, examples["labels"][keep] > 0)
    assert record.targets == tuple(NAMES[k] for k in logits.argmax(1))
    kept = {key: value[keep] for key, value in examples.items()}
    for k in range(5):
        expected = relevance(model, kept, np.full(6, k))
        for b in range(6):
            if k in part.labels_shown(b):
                np.testing.assert_allclose(part.maps[b, part.labels_shown(b).index(k)], expected[b], atol=1e-6)
    assert LABELS in sheets(record)
    checks = MapEvaluator(model, examples, labels=labels, class_names=NAMES, portion=3)
    measured = checks(record, examples, capture, step=0, trust=True)
    assert measured.record.trust.examples == 6 and "grounding/relevance/pointing" in measured.scalars
    assert "grounding/raw/pointing" in checks(record, examples, capture, step=0, trust=False).scalars


def test_the_viewer_has_a_row_for_each_label():
    record = label_record()
    part, captured = record.label_part, compact(record)
    for b in range(B):
        rows, facts = captured.rows[b]["labels/relevance"], captured.facts[b]["labels"]
        assert [name for name, *_ in facts] == [f"class {k}" for k in part.labels_shown(b)] and len(rows.scale) == len(
            facts
        )
        for (_, p, there, predicted), k in zip(facts, part.labels_shown(b), strict=True):
            assert p == pytest.approx(record.probabilities[b, k], rel=1e-4)
            assert (there, predicted) == (part.present[b, k], record.probabilities[b, k] >= 0.8)
        decoded = rows.scale[:, None] * LEVELS[rows.codes]
        np.testing.assert_allclose(decoded, part.maps[b, : len(facts)], atol=3e-3)
        assert set(example_facts(record, b)["label_boxes"]) == {f"class {k}" for k in part.boxes[b]}
