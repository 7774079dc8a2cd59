"""The record of a capture, and its file."""

import os
import zipfile

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, random_record
from vitcross.attention_maps import AttentionRecord


def test_save_and_load_give_back_everything(tmp_path):
    record = random_record(pooling="map", class_names=("Katze", "</script>", "猫"))
    record.save(tmp_path / "record.npz")
    loaded = AttentionRecord.load(tmp_path / "record.npz")
    # Trap 3: the order of layers is kept, not sorted anew.
    assert list(loaded.weights) == list(record.weights) and len(loaded.weights) == 12
    for address, weights in record.weights.items():
        np.testing.assert_array_equal(loaded.weights[address], weights)
    for name in ("images", "labels", "probabilities", "example_index", "boxes", "token_norms"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(record, name))
        assert getattr(loaded, name).dtype == getattr(record, name).dtype
    for name in ("step", "class_names", "token_layout", "pooling", "patch_size"):
        assert getattr(loaded, name) == getattr(record, name)
    assert os.listdir(tmp_path) == ["record.npz"]


def test_what_is_unknown_stays_unknown(tmp_path):
    random_record(labels=None, boxes=None).save(tmp_path / "record.npz")
    loaded = AttentionRecord.load(tmp_path / "record.npz")
    assert loaded.labels is None and loaded.boxes is None


def test_equal_records_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        random_record().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path):
    record = random_record()
    record.save(tmp_path / "record.npz")
    before = (tmp_path / "record.npz").read_bytes()
    broken = random_record(class_names=({1, 2},))  # JSON knows no sets
    with pytest.raises(TypeError):
        broken.save(tmp_path / "record.npz")
    assert (tmp_path / "record.npz").read_bytes() == before and os.listdir(tmp_path) == ["record.npz"]


def test_load_refuses_other_and_damaged_files(tmp_path):
    path = tmp_path / "record.npz"
    random_record().save(path)
    content = path.read_bytes()
    np.savez(path, objects=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="attention record"):
        AttentionRecord.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="attention record"):
        AttentionRecord.load(path)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        header = archive.read("header.npy")
    assert b"p\x00i\x00c\x00k\x00l" not in header
    with pytest.raises(FileNotFoundError):
        AttentionRecord.load(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pooling": "mean"}, "pooling='mean'"),
        ({"images": np.zeros((7, 12, 30, 3), np.float32)}, "uint8"),
        ({"labels": np.zeros(3, np.int32)}, "`labels`"),
        ({"weights": {"block_00/self_attention": np.zeros((7, 2, 17, 16), np.float32)}}, "17"),
        ({"pooling": "map"}, "cross_attention"),
    ],
)
def test_refuses_contradictions(changes, words):
    fields = vars(random_record()) | changes
    with pytest.raises(ValueError, match=words):
        AttentionRecord(**fields)


def test_a_record_that_is_too_large_keeps_its_first_examples(tmp_path):
    record = random_record(pooling="map")
    per_example = sum(w[:1].nbytes for w in record.weights.values()) / 2**20
    small = record.within(3.5 * per_example)
    assert len(small.images) == len(small.boxes) == 3
    for address, weights in small.weights.items():
        np.testing.assert_array_equal(weights, record.weights[address][:3])
    assert len(record.within(0.1 * per_example).images) == 1
    assert len(record.within(100 * per_example).images) == len(record.images)


def test_names():
    record = random_record()
    assert record.class_name(2) == "class 2" and record.class_name(99) == "99"
    assert record.token_layout == LAYOUT
