"""What of a capture becomes which W&B object, with the real wandb types, and how many files a run makes."""

import collections
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tests.attention_maps.records import LAYOUT, random_record
from tests.attention_maps.text_records import scene_texts, text_record, with_text
from tests.sinks.wandb_client import ReadBack
from vitcross.attention_maps import AttentionMedia, Prediction, Sheet
from vitcross.attention_maps.methods.rollout import read_map
from vitcross.attention_maps.records.trust_report import Fidelity, ProbeFidelity, TrustReport
from vitcross.attention_maps.sheets.overlay_images import OverlayImages, image_caption
from vitcross.attention_maps.sheets.overlay_masks import quantile_levels
from vitcross.metric_keys import ANIMATION, OVERLAY, VIEWER
from vitcross.sinks.weights_and_biases import media
from vitcross.sinks.weights_and_biases.media import Uploads, overlay_images
from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

SHEETS = ("attention/probe", OVERLAY, "attention/self/methods", "attention/self/heads", "attention/self/layers")
TEXT_SHEETS = ("attention/cross/words", "attention/cross/matrix", "attention/cross/similarity", "attention/self/text")
HEAT_MAPS = tuple(f"attention_stats/{n}" for n in ("entropy", "distance", "prefix_mass", "sink_share", "cross_entropy"))


@pytest.fixture
def wandb(home):
    import wandb

    return wandb


def with_maps(record, seed=0):
    """All four methods; leave-one-out has negative values."""
    shape = (len(record.images), record.token_layout.num_patches)
    generator = np.random.default_rng([seed, record.step])
    maps = {
        "relevance": generator.random(shape).astype(np.float32),
        "leave_one_out": generator.normal(size=shape).astype(np.float32),
    }
    return dataclasses.replace(record, maps=maps)


def trust(batch):
    def row(gap, verdict):
        return Fidelity(
            deletion=0.3, insertion=0.6, gap=gap, gap_low=0.1, gap_high=0.5, p_value=0.01, gap_other=None,
            gap_center=0.1, gap_share=None, verdict=verdict,
        )  # fmt: skip

    probes = tuple(ProbeFidelity(deletion=0.2, insertion=0.7, gap=b / 8, explainable=b != 1) for b in range(batch))
    return TrustReport(
        step=5, examples=61, explainable=59, random_deletion=0.4, random_insertion=0.4,
        fidelity={"rollout": row(0.02, 0), "relevance": row(0.31, 1)}, probes={"relevance": probes},
    )  # fmt: skip


def capture_media(record, keys=SHEETS, viewer=None):
    sheet = Sheet(image=np.zeros((3, 5, 3), np.uint8), title="t")
    return AttentionMedia(record=record, sheets=dict.fromkeys(keys, sheet), viewer=viewer)


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_clean_images_with_levels_of_every_method_and_the_truth(wandb, tmp_path, channels):
    record = with_maps(random_record(channels=channels, batch=3, depth=2))
    images = overlay_images(wandb, OverlayImages(record), tmp_path)
    assert len(images) == 3
    for i, image in enumerate(images):
        # 12 x 30 pixels, enlarged by the largest whole factor within 256.
        clean = pixels(image._path)
        expected = record.images[i][..., :3].repeat(8, axis=0).repeat(8, axis=1)
        assert clean.dtype == np.uint8 and (clean == expected).all() and clean.shape == (96, 240, 3)
        assert list(image._masks) == ["raw", "rollout", "relevance", "leave_one_out"]
        for method, mask in image._masks.items():
            levels = quantile_levels(read_map(record, method)[i]).reshape(LAYOUT.grid)
            assert (pixels(mask._path) == levels.repeat(32, axis=0).repeat(48, axis=1)).all()
            assert mask._val["class_labels"] == {1: "top 3 %", 2: "3-10 %", 3: "10-25 %", 4: "25-50 %"}
        (box,) = image._boxes["truth"]._val
        assert list(box["position"].values()) == pytest.approx(record.boxes[i][[1, 3, 0, 2]].tolist())
        assert box["box_caption"] == f"class {record.labels[i]}"


def test_large_images_keep_their_size_and_at_most_108_are_listed(wandb, tmp_path):
    record = random_record(batch=113, depth=1, heads=1)
    images = overlay_images(wandb, OverlayImages(record), tmp_path)
    assert len(images) == 108 and media.overlay_files(OverlayImages(record)) == 108 * (1 + 1 + 2)
    large = np.zeros((1, 300, 501, 3), np.uint8)
    record = dataclasses.replace(record.first(1), images=large, patch_size=(100, 101))
    (image,) = overlay_images(wandb, OverlayImages(record), tmp_path)
    assert pixels(image._path).shape == (300, 501, 3) and pixels(image._masks["raw"]._path).shape == (300, 501)


def test_nothing_known_means_no_boxes_and_no_empty_words(wandb, tmp_path):
    record = random_record(batch=2, depth=1, boxes=None, labels=None)
    for image in overlay_images(wandb, OverlayImages(record), tmp_path):
        assert image._boxes is None and list(image._masks) == ["raw", "rollout"]
    assert image_caption(record, 0).startswith("1. class ") and image_caption(record, 0).endswith("%. Step 5.")


def test_words_have_a_box_for_every_object_that_they_name(wandb, tmp_path):
    record = text_record(3, predicts_next=True)
    texts = list(record.text.texts)
    silent = dataclasses.replace(texts[1], word_boxes=(None,) * len(texts[1].words))
    record = with_text(record, texts=(texts[0], silent, texts[2]))
    images = overlay_images(wandb, OverlayImages(record), tmp_path)
    # The layers are the same for all, also where a text names nothing.
    assert [list(image._boxes) for image in images] == [["words"]] * 3
    assert images[1]._boxes["words"]._val == []
    for b in (0, 2):
        boxes = images[b]._boxes["words"]._val
        named = {
            (word.text, tuple(box.tolist()))
            for word, found in zip(texts[b].words, texts[b].word_boxes, strict=True)
            for box in ([] if found is None else found)
        }
        assert named
        sides = [tuple(np.float32(box["position"][s]) for s in ("minY", "minX", "maxY", "maxX")) for box in boxes]
        assert len(set(sides)) == len(sides)
        shown = {(word, box) for box, entry in zip(sides, boxes, strict=True) for word in entry["box_caption"].split()}
        assert shown == named


def test_captions_say_what_is_explained_and_whether_to_believe_it():
    predictions = (Prediction("red", "true: blue", False), Prediction("two"), Prediction("star"))
    record = dataclasses.replace(
        random_record(batch=3, depth=1), predictions=predictions, targets=("red", "two", "star"), trust=trust(3)
    )
    assert image_caption(record, 0) == (
        "1. red (true: blue). explained: red. this image: relevance gap +0.00. over 61 examples: rollout no better "
        "than random, relevance follows the model. Step 5."
    )
    assert "this image: relevance nothing to explain." in image_caption(record, 1)
    assert "relevance gap +0.25" in image_caption(record, 2)


# ----------------------------------------------------------------------------------------------------- how much, when


def rows_of(wandb, folder, *, captures, planned, keys=SHEETS, probes=2, viewer=None):
    """What each capture uploads (names of keys), and what the end does."""
    uploads = Uploads(wandb, planned)
    record = with_maps(random_record(batch=probes, depth=1, heads=1))
    rows = []
    for number in range(captures):
        (folder / str(number)).mkdir()
        page = None if viewer is None else f"<p>{viewer}</p>"
        capture = capture_media(dataclasses.replace(record, step=number), keys, page)
        rows.append(set(uploads.row(number, capture, folder / str(number))))
    return rows, [(step, set(row)) for step, row in uploads.rest(folder)], uploads


def test_few_captures_are_all_uploaded_and_the_viewer_at_powers_of_two(wandb, tmp_path):
    rows, rest, uploads = rows_of(wandb, tmp_path, captures=10, planned=10, viewer="v")
    assert all(row - {VIEWER} == set(SHEETS) for row in rows)
    assert [number for number, row in enumerate(rows, start=1) if VIEWER in row] == [1, 2, 4, 8]
    assert rest == [(9, {VIEWER})] and uploads.note == ""


def test_too_many_captures_are_thinned_out_evenly_and_the_last_one_is_kept(wandb, tmp_path):
    rows, rest, uploads = rows_of(wandb, tmp_path, captures=30, planned=30, probes=7)
    # 7 images x 6 files, 5 sheets, a viewer: 48 files; 30 of them are 1440, every second 720.
    assert [number for number, row in enumerate(rows) if row] == list(range(0, 30, 2))
    assert rest == [(29, set(SHEETS))]
    assert "captures of 48 files each are too many" in uploads.note


def test_more_captures_than_were_planned_stop_before_the_limit(wandb, tmp_path):
    rows, rest, _ = rows_of(wandb, tmp_path, captures=25, planned=10, probes=7)
    assert [bool(row) for row in rows] == [True] * 17 + [False] * 8
    assert rest == [(24, set(SHEETS))]
    assert media.MOST_FILES >= (17 + 1) * 48


def test_the_viewer_is_uploaded_unchanged(wandb, tmp_path):
    page = "<!doctype html><head></head><p>\u05d0 </script>\r\n"
    html = media.html(wandb, page, tmp_path)
    assert (tmp_path / "viewer.html").read_bytes() == page.encode()
    assert html.html == page.replace("\r\n", "\n") and html._path == str(tmp_path / "viewer.html")


def default_run(folder, record_of, keys, captures=10):
    """A real offline run of default size: 10 captures of 8 probes, 4 methods, all sheets, viewer and film."""
    lines = []
    sink = WeightsAndBiases(run_folder=folder, mode="offline", captures=captures, report=lines.append)
    for step in range(captures):
        sink.media(step, capture_media(record_of(step), keys, viewer=f"<p>{step}</p>"))
    sink.animation(captures - 1, b"GIF89a film")
    sink.close({}, 0)
    return sink, lines


def test_a_default_image_text_run_has_far_fewer_than_1000_files(home, tmp_path):
    texts = scene_texts(8)

    def record_of(step):
        # Equal files of one list are one file: here no two are.
        record = text_record(8, predicts_next=True, texts=texts, depth=2, heads=1, step=step)
        boxes = np.array([[0.1, 0.2, 0.5, 0.6 + b / 100] for b in range(8)], np.float32)
        return dataclasses.replace(with_maps(record), boxes=boxes)

    sink, lines = default_run(tmp_path, record_of, SHEETS + TEXT_SHEETS + HEAT_MAPS)
    files = [path for path in (sink.folder / "files").rglob("*") if path.is_file()]
    kinds = collections.Counter(path.relative_to(sink.folder / "files" / "media").parts[0] for path in files
                                if "media" in path.parts)  # fmt: skip
    assert len(files) < 750
    # Each capture: 8 images with 4 masks, 13 sheets; 8 x 2 lists of boxes; the viewer of captures 1, 2, 4, 8, 10.
    assert kinds == {"images": 10 * (8 * 5 + 13), "metadata": 10 * 16, "html": 5, "videos": 1}
    assert not any("too many" in line for line in lines)
    run = ReadBack(sink.folder, home)
    for key in (OVERLAY, *TEXT_SHEETS, *HEAT_MAPS):
        assert [step for step, _ in run.curve(key)] == list(range(10))
    assert [step for step, _ in run.curve(VIEWER)] == [0, 1, 3, 7, 9]
    ((step, film),) = run.curve(ANIMATION)
    assert (step, film["_type"]) == (9, "video-file")
    assert (sink.folder / "files" / film["path"]).read_bytes() == b"GIF89a film"
    last = run.curve(VIEWER)[-1][1]
    assert (sink.folder / "files" / last["path"]).read_text() == "<p>9</p>"
    words = run.curve(OVERLAY)[0][1]["all_boxes"][0]
    assert set(words) == {"truth", "words"}
    assert json.loads((sink.folder / "files" / words["words"]["path"]).read_text())["box_data"]


def test_a_run_with_too_many_captures_says_so_once_and_ends_with_the_last(home, tmp_path):
    record = with_maps(random_record(batch=16, depth=1, heads=1))
    sink, lines = default_run(tmp_path, lambda step: dataclasses.replace(record, step=step), SHEETS, captures=13)
    files = [path for path in (sink.folder / "files").rglob("*") if path.is_file()]
    assert len(files) < media.MOST_FILES
    assert [line for line in lines if "too many" in line] == [
        "Weights & Biases: captures of 102 files each are too many, only some and the last are uploaded; all of them "
        "are in the run folder"
    ]
    assert [step for step, _ in ReadBack(sink.folder, home).curve(OVERLAY)] == [0, 2, 4, 6, 8, 10, 12]


def test_a_last_capture_that_fails_is_reported_and_the_run_is_finished(home, tmp_path, monkeypatch):
    def broken(*arguments):
        raise OSError("no space left")

    lines = []
    sink = WeightsAndBiases(run_folder=tmp_path, mode="offline", report=lines.append)
    sink.media(0, capture_media(with_maps(random_record(batch=2, depth=1)), viewer="<p>"))
    sink.media(1, capture_media(with_maps(random_record(batch=2, depth=1)), viewer="<p>"))
    sink.media(2, capture_media(with_maps(random_record(batch=2, depth=1)), viewer="<p>"))
    monkeypatch.setattr(media, "html", broken)
    sink.close({"val/accuracy": 0.5}, 0)
    assert any("the last capture is missing there: no space left" in line for line in lines)
    run = ReadBack(sink.folder, home)
    assert run.exit_code == 0 and run.summary["val/accuracy"] == 0.5
