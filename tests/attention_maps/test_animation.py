"""The animation of a run, opened again: its frames, their words, one scale through all of them, and its size."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from tests.attention_maps.records import LAYOUT, PATCH, random_record
from tests.attention_maps.text_records import text_record
from vitcross.attention_maps.records.run_captures import run_captures
from vitcross.attention_maps.records.trust_report import Fidelity, TrustReport
from vitcross.attention_maps.sheets import animation, color_maps
from vitcross.attention_maps.sheets.animation import MOST_BYTES, animation_gif, frame_of
from vitcross.attention_maps.sheets.render import overlay, panel_size

STEPS = (0, 7, 101)


def with_map(record, value, method="relevance"):
    """One bright patch, another in every capture, of a brightness of its own."""
    patches = np.zeros((len(record.images), LAYOUT.num_patches), np.float32)
    patches[:, record.step % LAYOUT.num_patches] = value
    return dataclasses.replace(record, maps={method: patches})


def trust(step, gap):
    row = Fidelity(
        deletion=0.3, insertion=0.6, gap=gap, gap_low=0.1, gap_high=0.5, p_value=0.01, gap_other=0.2, gap_center=0.1,
        gap_share=0.5, verdict=1,
    )  # fmt: skip
    return TrustReport(
        step=step, examples=61, explainable=59, random_deletion=0.4, random_insertion=0.4, fidelity={"relevance": row}
    )


def captures(values=(0.125, 0.5, 0.25), batch=3, **changes):
    records = [random_record(step=step, batch=batch, depth=2) for step in STEPS]
    same = records[0].images
    return [
        with_map(dataclasses.replace(record, images=same, **changes), value)
        for record, value in zip(records, values, strict=True)
    ]


def opened(content):
    image = Image.open(io.BytesIO(content))
    frames, durations = [], []
    for number in range(image.n_frames):
        image.seek(number)
        durations.append(image.info["duration"])
        frames.append(np.asarray(image.convert("RGB")).astype(int))
    return image, frames, durations


def test_one_frame_a_capture_for_ever_the_last_one_longest():
    content = animation_gif(captures())
    image, frames, durations = opened(content)
    assert content.startswith(b"GIF89a") and len(content) <= MOST_BYTES
    assert image.n_frames == 3 and image.info["loop"] == 0
    assert durations == [700, 700, 2800]
    assert all((a != b).any() for a, b in zip(frames, frames[1:], strict=False))


class Listening(animation.Canvas):
    """A sheet that remembers what was put on it."""

    made = []

    def __init__(self, **size):
        super().__init__(**size)
        self.texts, self.panels = [], []
        self.made.append(self)

    def text(self, x, y, text, **options):
        self.texts.append(str(text))
        super().text(x, y, text, **options)

    def paste(self, x, y, panel):
        self.panels.append((int(x), int(y), panel))
        super().paste(x, y, panel)


@pytest.fixture
def sheets(monkeypatch):
    monkeypatch.setattr(Listening, "made", [])
    monkeypatch.setattr(animation, "Canvas", Listening)
    return Listening.made


def test_every_image_has_one_scale_in_all_frames(sheets):
    records = captures(batch=1)
    _, frames, _ = opened(animation_gif(records))
    size = panel_size(records[0].images.shape[1:3], 128)
    corners = set()
    for record, frame, sheet in zip(records, frames, sheets, strict=True):
        grid = LAYOUT.to_grid(record.maps["relevance"][0])
        right = overlay(record.images[0], grid, vmax=0.5, patch_size=PATCH, size=size)
        ((x, y, panel),) = [
            entry for entry in sheet.panels if (entry[2].shape == right.shape) and (entry[2] == right).all()
        ]
        corners.add((x, y))
        # The GIF has few colors, but those.
        shown = frame[y : y + size[0], x : x + size[1]]
        assert np.abs(shown - panel).mean() < 20
        bright = grid.repeat(size[0] // 3, axis=0).repeat(size[1] // 5, axis=1) > 0
        own = overlay(record.images[0], grid, patch_size=PATCH, size=size).astype(int)
        if record.step != 7:  # with a scale of its own it would be far brighter
            assert np.abs(shown - right)[bright].mean() < 25 < 50 < np.abs(shown - own)[bright].mean()
    assert len(corners) == 1  # it stands still


@pytest.mark.parametrize("field", ["boxes", "mark_boxes"])
def test_the_boxes_of_the_truth_and_of_a_planted_mark_are_drawn(sheets, field):
    bare = {"boxes": None, "mark_boxes": None}
    box = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (1, 1))
    for changes in (bare, bare | {field: box}):
        animation_gif(captures(batch=1, **changes))
    size = panel_size((12, 30), 128)
    without, drawn = (next(p for _, _, p in sheet.panels if p.shape[:2] == size) for sheet in (sheets[0], sheets[3]))
    changed = (without != drawn).any(axis=-1)
    h, w = size
    assert changed.any() and not changed[: h // 4 - 1].any() and not changed[:, : w // 4 - 1].any()
    assert not changed[h // 4 + 5 : h * 3 // 4 - 5, w // 4 + 5 : w * 3 // 4 - 5].any()


def texts_of_frames(sheets, records):
    sheets.clear()
    animation_gif(records)
    return [sheet.texts for sheet in sheets]


def test_step_value_and_verdict_are_printed(sheets):
    records = captures()
    records[-1] = dataclasses.replace(records[-1], trust=trust(101, 0.31))
    first, _, last = (" | ".join(texts) for texts in texts_of_frames(sheets, records))
    assert "Step 0, capture 1 of 3." in first and "Step 101, capture 3 of 3." in last
    assert "not measured" in first and "follows the model, gap +0.31 on 61 examples" in last
    assert first.count("top 0.5") == last.count("top 0.5") == 3


def test_relevance_only_where_every_capture_has_it(sheets):
    records = captures()
    records[1] = dataclasses.replace(records[1], maps={})
    assert texts_of_frames(sheets, records)[0][0] == "Rollout while the model trains"
    assert texts_of_frames(sheets, captures())[0][0] == "Relevance while the model trains"


def test_a_text_model_shows_its_images(sheets):
    texts = texts_of_frames(sheets, [text_record(2, step=step) for step in STEPS])
    assert any("a red star" in text for text in texts[0])


@pytest.mark.parametrize("noise", [0, 90])
def test_many_captures_of_large_images_stay_small(noise):
    generator = np.random.default_rng(0)
    record = random_record(step=0, batch=11, depth=1)
    smooth = np.linspace(0, 160, 24 * 60).reshape(24, 60)[None, :, :, None]
    images = (smooth + generator.integers(0, noise + 1, (11, 24, 60, 3))).astype(np.uint8)
    records = [
        dataclasses.replace(record, step=step, images=images, patch_size=(8, 12),
                            maps={"relevance": generator.random((11, 15)).astype(np.float32)})
        for step in range(31)
    ]  # fmt: skip
    content = animation_gif(records)
    image, _, _ = opened(content)
    assert len(content) <= MOST_BYTES and image.n_frames == 24


def test_maps_of_nothing_are_dark_and_not_an_error():
    for value in (0.0, np.nan):
        _, frames, _ = opened(animation_gif(captures((value, value, value))))
        darkest = color_maps.table("viridis")[0]
        assert len(frames) == 3 and (np.abs(frames[0] - darkest).sum(axis=-1) < 140).any()


def test_frames_keep_no_weights_and_are_read_back_from_a_run_folder(tmp_path):
    records = captures(batch=2)
    for record in [*records, text_record(2, step=53)]:
        record.save(tmp_path / f"step_{record.step:08d}/record.npz")
    (tmp_path / "step_00000005").mkdir()
    (tmp_path / "step_00000005/record.npz").write_bytes(b"half of a file")
    found = [frame_of(record) for record in run_captures(tmp_path, before=101)]
    assert [frame.step for frame in found] == [0, 7, 53]
    assert not hasattr(found[0], "weights")
    for frame, record in zip(found[:2], records[:2], strict=True):
        assert (frame.maps["relevance"] == record.maps["relevance"]).all()
    assert animation_gif([*found[:2], frame_of(records[2])]) == animation_gif(records)


def test_wrong_captures_are_refused():
    with pytest.raises(ValueError, match="`captures` must hold at least one capture"):
        animation_gif([])
    other = dataclasses.replace(captures()[0], images=np.zeros((3, 8, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="must show the same images"):
        animation_gif([captures()[0], other])
