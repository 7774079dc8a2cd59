"""The run folder: strict JSON lines, whole files, nothing lost by a killed process."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.sinks.samples import HEIGHT, WIDTH, sample_media
from vitcross import atomic_files
from vitcross.pages.json_text import to_json
from vitcross.sinks.local_files import LocalFiles


def strict(text):
    """JSON that refuses NaN and Infinity, as other languages do."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def rows(folder):
    return [strict(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_rows_are_on_disk_at_once_in_order_step_first(tmp_path):
    files = LocalFiles(run_folder=tmp_path / "run", config_text="seed: 0\n")
    files.scalars(10, {"train/loss": 0.5, "epoch": 1.5, "train/accuracy": np.float32(0.25)})
    files.scalars(np.int64(20), {"val/loss": 2})
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert text == (
        '{"step": 10, "epoch": 1.5, "train/loss": 0.5, "train/accuracy": 0.25}\n{"step": 20, "val/loss": 2}\n'
    )
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 0\n"


def test_what_is_not_finite_is_null(tmp_path):
    files = LocalFiles(run_folder=tmp_path)
    files.scalars(1, {"train/loss": float("nan"), "a": np.float32("inf"), "b": -np.inf})
    files.close({"best": {"val/loss": float("inf")}}, 1)
    assert rows(tmp_path) == [{"step": 1, "train/loss": None, "a": None, "b": None}]
    assert strict((tmp_path / "summary.json").read_text()) == {"best": {"val/loss": None}, "exit_code": 1}


def test_summary_holds_what_was_given(tmp_path):
    summary = {"val/accuracy": np.float64(0.75), "parameters": np.int64(17), "ok": np.bool_(True), "none": None}
    LocalFiles(run_folder=tmp_path).close({**summary, "gallery": tmp_path / "\u00e9.html"}, 0)
    assert strict((tmp_path / "summary.json").read_text()) == {
        "val/accuracy": 0.75,
        "parameters": 17,
        "ok": True,
        "none": None,
        "gallery": str(tmp_path / "\u00e9.html"),
        "exit_code": 0,
    }


def test_a_value_that_is_no_number_is_an_error():
    with pytest.raises(TypeError, match="must be a number"):
        to_json({"x": np.zeros(3)})


def test_rows_are_appended_to_those_of_an_earlier_process_whose_half_row_is_cut(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "train/lo')
    LocalFiles(run_folder=tmp_path).scalars(2, {"train/loss": 1.0})
    assert rows(tmp_path) == [{"step": 1}, {"step": 2, "train/loss": 1.0}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_names_the_file(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    files = LocalFiles.__new__(LocalFiles)
    files._path = tmp_path / "metrics.jsonl"
    files._rows = open(files._path, "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left.*metrics.jsonl"):
        files.scalars(1, {})
    assert LocalFiles.essential


def test_a_capture_is_png_files_of_the_right_size_and_a_record(tmp_path):
    media = sample_media(500)
    LocalFiles(run_folder=tmp_path).media(500, media)
    folder = tmp_path / "attention" / "step_00000500"
    assert sorted(path.name for path in folder.iterdir()) == [
        "probe.png",
        "record.npz",
        "self_heads.png",
        "self_overlay.png",
        "stats_entropy.png",
    ]
    image = Image.open(folder / "self_heads.png")
    assert image.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(image), media.sheets["attention/self/heads"].image)
    with np.load(folder / "record.npz", allow_pickle=False) as record:
        np.testing.assert_array_equal(record["images"], media.record.images)


def test_the_animation_is_beside_the_captures(tmp_path):
    LocalFiles(run_folder=tmp_path).animation(20, b"GIF89a film")
    assert (tmp_path / "attention" / "evolution.gif").read_bytes() == b"GIF89a film"


def test_atomic_file_is_the_old_one_when_writing_fails(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic_files.write_text(path, "old \u2192\n")
    with pytest.raises(RuntimeError), atomic_files.replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == "old \u2192\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_atomic_file_can_be_seeked_and_others_may_read_it(tmp_path):
    path = tmp_path / "arrays.npz"
    with atomic_files.replacing(path) as file:
        np.savez(file, a=np.arange(7))
    assert np.load(io.BytesIO(path.read_bytes()))["a"].sum() == 21
    mask = os.umask(0o022)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
