"""The record of a capture, and its file."""

import os
import zipfile

import numpy as np
import pytest

from tests.attention_maps import records
from tests.attention_maps.records import LAYOUT, random_record
from vitcross.attention_maps import AttentionRecord
from vitcross.attention_maps.methods.rollout import methods_of, read_map
from vitcross.attention_maps.records.trust_report import Fidelity, ProbeFidelity, TrustReport


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


def explained_record(**changes):
    """A record with maps that need the model, what they explain, and their trust."""
    random = np.random.default_rng(3)
    patches = records.LAYOUT.num_patches
    maps = {m: random.uniform(size=(records.B, patches)).astype(np.float32) for m in ("relevance", "leave_one_out")}
    fidelity = Fidelity(
        deletion=0.2, insertion=0.7, gap=0.4, gap_low=0.3, gap_high=0.5, p_value=0.001, gap_other=0.3, gap_center=0.2,
        gap_share=0.8, verdict=1,
    )  # fmt: skip
    probe = ProbeFidelity(deletion=0.1, insertion=0.6, gap=0.4, explainable=True)
    trust = TrustReport(
        step=5, examples=11, explainable=7, random_deletion=0.4, random_insertion=0.4, fidelity={"raw": fidelity},
        grounding={"raw": {"pointing": 0.5, "energy": 0.3, "lift": 2.0, "chance": 0.1}}, sanity={"raw": 0.1},
        probes={"raw": (probe,) * records.B},
    )  # fmt: skip
    fields = {"maps": maps, "targets": tuple(f"class {i}" for i in range(records.B)), "trust": trust}
    return records.random_record(**{**fields, **changes})


def test_maps_targets_and_trust_survive_the_file_and_are_cut_with_the_record(tmp_path):
    record = explained_record()
    record.save(tmp_path / "record.npz")
    read = AttentionRecord.load(tmp_path / "record.npz")
    assert read.targets == record.targets and read.trust == record.trust
    assert set(read.maps) == {"relevance", "leave_one_out"}
    np.testing.assert_array_equal(read.maps["relevance"], record.maps["relevance"])
    short = record.first(3)
    assert len(short.targets) == len(short.maps["relevance"]) == len(short.trust.probes["raw"]) == 3


def test_a_map_that_the_record_holds_comes_before_one_made_of_its_weights():
    record = explained_record()
    assert methods_of(record) == ("raw", "rollout", "relevance", "leave_one_out")
    np.testing.assert_array_equal(read_map(record, "relevance"), record.maps["relevance"])
    own = record.maps["relevance"]
    np.testing.assert_array_equal(read_map(explained_record(maps={"raw": own}), "raw"), own)
    with pytest.raises(ValueError, match="must be one of raw, rollout for this record. Received: method='relevance'"):
        read_map(records.random_record(), "relevance")


@pytest.mark.parametrize(
    "changes, message",
    [({"maps": {"relevance": np.zeros((records.B, 2), np.float32)}}, "maps"), ({"targets": ("a",)}, "targets")],
)
def test_maps_and_targets_of_another_shape_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"`{message}.*must"):
        records.random_record(**changes)
