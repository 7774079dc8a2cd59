"""What the viewer's page holds: rows within their error, tables equal to NumPy's, the budget, escaping, matching."""

import base64
import dataclasses
import functools
import json
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attention_maps.records import random_record
from tests.attention_maps.viewer_samples import (
    HOSTILE,
    caption_record,
    classifier_record,
    classifier_run,
    dual_record,
)
from vitcross.attention_maps import AttentionRecord, raw_map, rollout_map
from vitcross.attention_maps.records.run_captures import run_captures
from vitcross.attention_maps.viewer import Viewer, write_viewer
from vitcross.attention_maps.viewer.images import data_uris
from vitcross.attention_maps.viewer.rows import LEVELS, encode_rows, pack, signed_rows
from vitcross.attention_maps.viewer.tables import matrix_rows, read_out_rows
from vitcross.layers.token_layout import TokenLayout


def decode_rows(rows):
    """(R, P) float64, as the page reads them."""
    return rows.scale[:, None].astype(np.float64) * LEVELS[rows.codes]


def content(path):
    """What the page knows, read as a browser reads it."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.S)[1])


def table(page, run, capture, example, name):
    """Rows (R, P) and their masses, decoded independently of the code under test."""
    entry = run["captures"][capture]["examples"][example]
    start = 0
    for key, count in run["layouts"][entry["layout"]]:
        if key == name:
            return decode_block(page["blocks"][entry["rows"]], run)[start : start + count]
        start += count
    raise KeyError(name)


def decode_block(text, run):
    patches = run["grid"][0] * run["grid"][1]
    raw = zlib.decompress(base64.b64decode(text))
    rows = len(raw) // (8 + patches)
    scale = np.frombuffer(raw, "<f4", rows)
    codes = np.frombuffer(raw, np.uint8, rows * patches, 8 * rows).reshape(rows, patches).astype(int)
    levels = np.where(codes < 10, 0.02 * (codes / 10) ** 2, 0.02 + 0.004 * (codes - 10))
    return scale[:, None] * levels


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=40))
def test_no_value_is_further_off_than_two_thousandths_of_its_rows_largest(values):
    row = np.array([values])
    decoded = decode_rows(encode_rows(row))
    assert np.abs(decoded - row).max() <= 2e-3 * row.max() * (1 + 1e-5)


def test_every_value_between_two_codes_and_how_fine_small_ones_are():
    row = np.linspace(0, 1, 100_001)[None]
    error = np.abs(decode_rows(encode_rows(row)) - row)
    assert error.max() <= 2e-3 + 1e-7
    # Square-root companding: the smaller, the finer; plain 8 bits would be off by 2e-3 everywhere.
    assert error[row < 2e-3].max() < 7e-4
    assert error[row < 2e-4].max() <= 2e-4
    assert LEVELS[0] == 0 and LEVELS[255] == pytest.approx(1) and (np.diff(LEVELS) > 0).all()
    assert np.diff(LEVELS).max() <= 4e-3 + 1e-12


def test_rows_keep_their_exact_sum_and_say_where_they_are_not_finite():
    rows = encode_rows([[0.1, 0.2, 0.05], [0, 0, 0], [np.nan, 1, 2], [np.inf, 1, 2]])
    np.testing.assert_allclose(rows.mass[:2], [0.35, 0], rtol=1e-6)
    assert rows.scale[1] == 0 and np.isnan(rows.scale[2:]).all()
    assert (decode_rows(rows)[1] == 0).all()


def test_signed_rows_are_two_tables():
    values = np.array([[0.5, -0.25, 0.0, -1.0]])
    above, below = signed_rows(values)
    np.testing.assert_allclose(decode_rows(above) - decode_rows(below), values, atol=2e-3)


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
def test_read_out_rows_are_what_the_pooling_reads(pooling):
    record = random_record(pooling=pooling, depth=3, batch=2)
    rows = read_out_rows(record)[1]
    layers = list(record.self_attention.values())
    for layer, weights in enumerate(layers):
        read = weights[1][:, 0, 2:] if pooling == "cls" else weights[1][:, 2:, 2:].mean(axis=1)
        for name, expected in ((f"layer/{layer}/heads", read), (f"layer/{layer}/mean", read.mean(axis=0)[None])):
            np.testing.assert_allclose(decode_rows(rows[name]), expected, atol=2e-3 * expected.max() * 1.001)
            np.testing.assert_allclose(rows[name].mass, expected.sum(axis=-1), rtol=1e-5)
    assert ("pool/heads" in rows) == (pooling == "map")
    if pooling == "map":
        np.testing.assert_allclose(decode_rows(rows["pool/heads"]), record.pooling_weights[1][:, 0, 2:], atol=1e-3)
    for method, maps in (("raw", raw_map(record)), ("rollout", rollout_map(record))):
        np.testing.assert_allclose(decode_rows(rows[f"map/{method}"])[0], maps[1], atol=2e-3 * maps[1].max() * 1.001)


def test_matrices_hold_every_token_as_query_and_who_reads_the_prefix():
    record = random_record(depth=2, batch=2)
    last = list(record.weights.values())[-1][1]
    heads, tokens, patches = 2, 17, 15
    found = decode_rows(matrix_rows(record, 1, "layer/1/heads")).reshape(heads, tokens + 2, patches)
    np.testing.assert_allclose(found[:, :tokens], last[:, :, 2:], atol=2e-3 * last.max())
    np.testing.assert_allclose(found[:, tokens:], last[:, 2:, :2].transpose(0, 2, 1), atol=2e-3 * last.max())
    mean = decode_rows(matrix_rows(record, 1, "layer/1/mean"))
    np.testing.assert_allclose(mean[:tokens], last.mean(axis=0)[:, 2:], atol=2e-3 * last.max())


def test_words_are_means_of_the_rows_that_predict_their_tokens(tmp_path):
    record = caption_record(hostile=False)
    write_viewer([record], tmp_path / "viewer.html")
    page = content(tmp_path / "viewer.html")
    (run,) = page["runs"]
    assert run["text"] == {"predicts_next": True} and len(run["cross"]) == 2
    weights = record.text.weights["text_decoder/block_01/cross_attention"]
    for example, text in enumerate(record.text.texts):
        found = table(page, run, 0, example, "cross/1/mean")
        relevance = table(page, run, 0, example, "words/relevance")
        assert [word[0] for word in run["examples"][example]["words"]] == [word.text for word in text.words]
        for w, word in enumerate(text.words):
            expected = np.mean([weights[example, :, t - 1, 1:].mean(axis=0) for t in word.tokens], axis=0)
            np.testing.assert_allclose(found[w], expected, atol=2e-3 * expected.max() * 1.01)
            own = np.mean([record.text.token_maps["relevance"][example, t] for t in word.tokens], axis=0)
            np.testing.assert_allclose(relevance[w], own, atol=2e-3 * own.max() * 1.01)
        shares = run["captures"][0]["examples"][example]["shares"]["relevance"]
        expected = [record.text.text_maps["relevance"][example, list(word.tokens)].sum() for word in text.words]
        np.testing.assert_allclose(shares, expected, rtol=1e-3)


def test_cosines_below_zero_stay_below_zero(tmp_path):
    record = dual_record()
    write_viewer(record, tmp_path / "viewer.html")
    page = content(tmp_path / "viewer.html")
    (run,) = page["runs"]
    assert run["text"] == {"predicts_next": False} and run["cross"] == []
    found = table(page, run, 0, 2, "similarity/text") - table(page, run, 0, 2, "similarity/text-")
    assert record.text.text_similarity.min() < 0
    np.testing.assert_allclose(found[0], record.text.text_similarity[2], atol=2e-3)


@functools.cache
def vit_b16(examples=8):
    """One capture of ViT-B/16 at 224: 12 layers of 12 heads, 197 tokens; noise, which shrinks least."""
    layout = TokenLayout(grid_height=14, grid_width=14, num_prefix_tokens=1)
    random = np.random.default_rng(0)
    layer = random.exponential(size=(examples, 12, 197, 197)).astype(np.float32)
    layer /= layer.sum(axis=-1, keepdims=True)
    smooth = random.integers(0, 256, (examples, 14, 14, 3), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    noise = random.integers(-20, 20, smooth.shape)
    record = AttentionRecord(
        step=0,
        images=np.clip(smooth + noise, 0, 255).astype(np.uint8),
        labels=np.zeros(examples, np.int32),
        probabilities=np.full((examples, 2), 0.5, np.float32),
        class_names=("a", "b"),
        example_index=np.arange(examples),
        # The layers are one array in memory, 180 MB otherwise.
        weights={f"image_encoder/block_{b:02d}/self_attention": layer for b in range(12)},
        token_layout=layout,
        pooling="cls",
        patch_size=(16, 16),
        token_norms=random.uniform(5, 9, (examples, 197)).astype(np.float32),
        maps={"relevance": random.uniform(0, 1, (examples, 196)).astype(np.float32)},
    )
    viewer = Viewer()
    viewer.add(record)
    return viewer


def write_vit_b16(path, captures, **settings):
    """The page of a run of `captures` captures."""
    viewer, found = Viewer(**settings), vit_b16()
    viewer.record = found.record
    viewer.captures = [dataclasses.replace(found.captures[0], step=100 * k, packed={}) for k in range(captures)]
    viewer.write(path)


def test_a_base_model_with_ten_captures_fits_and_says_what_does_not(tmp_path):
    path = tmp_path / "viewer.html"
    write_vit_b16(path, 10)
    assert 1_000_000 < path.stat().st_size <= 2_000_000
    page = content(path)
    (run,) = page["runs"]
    assert len(run["captures"]) == 10 and len(run["examples"]) == 8
    for capture in run["captures"]:
        for example in capture["examples"]:
            names = [name for name, _ in run["layouts"][example["layout"]]]
            assert {"layer/0/mean", "layer/11/mean", "layer/11/heads", "map/rollout", "map/relevance"} <= set(names)
    last = run["captures"][-1]["examples"]
    assert all("rollout" in example["matrices"] for example in last)
    assert not run["captures"][0]["examples"][0]["matrices"]
    notes = " ".join(page["notes"])
    every_head = any(name == "layer/0/heads" for name, _ in run["layouts"][0])
    kept = (
        "all layers and heads" if every_head else "the mean of the heads of all layers, and the heads of the last layer"
    )
    assert f"Earlier captures contain only the rows of the read-out and of each word, of {kept}." in notes
    assert sum("layer/5/heads" in example["matrices"] for example in last) == 0
    assert "no room for the other layers, single heads" in notes


def test_a_small_model_keeps_everything(tmp_path):
    path = tmp_path / "viewer.html"
    write_viewer([classifier_record()], path)
    page = content(path)
    assert page["notes"] == []
    matrices = page["runs"][0]["captures"][0]["examples"][4]["matrices"]
    assert sorted(matrices) == sorted(
        ["rollout", *(f"layer/{i}/{part}" for i in range(3) for part in ("mean", "heads"))]
    )


@pytest.mark.parametrize("budget", [200_000, 400_000])
def test_whatever_the_budget_the_page_keeps_it_and_the_last_capture(tmp_path, budget):
    path = tmp_path / "viewer.html"
    write_vit_b16(path, 30, budget=budget)
    assert path.stat().st_size <= budget
    page = content(path)
    (run,) = page["runs"]
    assert [run["captures"][0]["step"], run["captures"][-1]["step"]] == [0, 2900]
    if len(run["captures"]) < 30:
        assert f"{len(run['captures'])} of the 30 captures are kept." in page["notes"]
    if len(run["examples"]) < 8:
        assert f"The first {len(run['examples'])} of the 8 images are kept." in page["notes"]


def test_a_budget_below_the_page_itself_is_refused():
    with pytest.raises(ValueError, match="`budget` must be at least .* Received: budget=5"):
        Viewer(budget=5)


def test_images_are_exact_where_small_and_shrink_where_many():
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (2, 13, 17, 1), dtype=np.uint8)
    assert all(uri.startswith("data:image/png;base64,") for uri in data_uris(small, 10**6))
    large = random.integers(0, 256, (3, 640, 700, 3), dtype=np.uint8)
    assert sum(map(len, data_uris(large, 100_000))) < sum(map(len, data_uris(large, 10**7)))


def test_no_text_can_leave_the_data(tmp_path):
    path = tmp_path / "viewer.html"
    write_viewer([caption_record()], path, title="</title></script><b>")
    text = path.read_text(encoding="utf-8")
    assert text.count("</script>") == 2 and "<img src=x" not in text and "</title></script>" not in text
    page = content(path)
    assert page["runs"][0]["examples"][0]["text"] == HOSTILE and page["title"] == "</title></script><b>"


def test_the_policy_allows_the_pages_own_script_and_nothing_else(tmp_path):
    write_viewer([classifier_record()], tmp_path / "viewer.html")
    text = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-") and "unsafe" not in policy
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    for forbidden in (
        "innerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "fetch(",
        "http://",
    ):
        assert forbidden not in script.replace("http://www.w3.org/2000/svg", "")


def test_the_page_grows_with_the_run_without_old_weights(tmp_path):
    records = classifier_run()
    viewer = Viewer(title="run")
    for record in records:
        viewer.add(record)
        viewer.write(tmp_path / "grown.html")
    assert viewer.record is records[-1]
    write_viewer(records, tmp_path / "whole.html", title="run")
    assert (tmp_path / "grown.html").read_bytes() == (tmp_path / "whole.html").read_bytes()


def test_a_resumed_run_reads_its_captures_from_disk(tmp_path, caplog):
    records = classifier_run()
    for record in records:
        record.save(tmp_path / f"attention/step_{record.step:08d}/record.npz")
    viewer = Viewer(title="run")
    for record in run_captures(tmp_path / "attention", before=500):
        viewer.add(record)
    assert [capture.step for capture in viewer.captures] == [0, 100]
    viewer.add(records[-1])
    write_viewer(records, tmp_path / "whole.html", title="run")
    assert viewer.html() == (tmp_path / "whole.html").read_text(encoding="utf-8")
    # A run that went back to step 100 captures again from there.
    viewer.add(classifier_record(step=100))
    assert [capture.step for capture in viewer.captures] == [0, 100]
    path = tmp_path / "attention/step_00000100/record.npz"
    path.write_bytes(b"half a file")
    assert [record.step for record in run_captures(tmp_path / "attention")] == [0, 500]
    assert "A capture that cannot be read is left out" in caplog.text and str(path) in caplog.text
    with pytest.raises(ValueError, match="`path` must be"):
        list(run_captures(tmp_path / "attention", skip_unreadable=False))


def test_records_of_both_kinds_are_opened(tmp_path):
    for record in (classifier_record(), dual_record()):
        record.save(tmp_path / "record.npz")
        loaded = AttentionRecord.load(tmp_path / "record.npz")
        assert (loaded.text is None) == (record.text is None) and len(loaded.images) == len(record.images)
    (tmp_path / "record.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="`path` must be"):
        AttentionRecord.load(tmp_path / "record.npz")


def test_two_runs_are_matched_by_their_place_in_the_data(tmp_path):
    first, other = classifier_record(count=5), classifier_record(count=5, step=700, seed=9)
    turned = dataclasses.replace(
        other, **{name: getattr(other, name)[::-1] for name in ("images", "example_index", "labels", "boxes")}
    )
    turned = dataclasses.replace(turned, weights={a: w[::-1] for a, w in other.weights.items()})
    cut = dataclasses.replace(turned, example_index=np.where(turned.example_index == 12, 99, turned.example_index))
    path = tmp_path / "viewer.html"
    write_viewer([first], path, compare=[cut], names=("long", "short"))
    page = content(path)
    long, short = page["runs"]
    assert [e["index"] for e in long["examples"]] == [e["index"] for e in short["examples"]] == [10, 11, 13, 14]
    assert [e["image"] for e in long["examples"]] == [e["image"] for e in short["examples"]]
    assert any(note.startswith("The 4 images that both runs have (of 5 and 5) are compared") for note in page["notes"])
    weights = list(other.self_attention.values())[-1]
    np.testing.assert_allclose(table(page, short, 0, 3, "layer/2/heads"), weights[4][:, 0, 2:], atol=2e-3)


def test_own_images_are_matched_by_their_order(tmp_path):
    own = dataclasses.replace(classifier_record(), example_index=np.full(5, -1))
    write_viewer(own, tmp_path / "viewer.html", compare=own)
    page = content(tmp_path / "viewer.html")
    assert [run["name"] for run in page["runs"]] == ["A", "B"] and len(page["runs"][0]["examples"]) == 5


def test_runs_without_a_common_image_are_refused(tmp_path):
    first = classifier_record()
    others = (
        dataclasses.replace(first, example_index=first.example_index + 100),
        dataclasses.replace(first, images=255 - first.images),  # another data set with the same places
    )
    for other in others:
        with pytest.raises(ValueError, match="`compare` must hold captures of the same images"):
            write_viewer(first, tmp_path / "viewer.html", compare=other)
    with pytest.raises(ValueError, match="`names` must be a pair"):
        write_viewer(first, tmp_path / "viewer.html", compare=first, names=("one",))
    assert not (tmp_path / "viewer.html").exists()


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one capture"):
        write_viewer([], tmp_path / "viewer.html")
    viewer = Viewer()
    viewer.add(classifier_record())
    with pytest.raises(ValueError, match="must be of the same kind"):
        viewer.add(dual_record())


def test_an_earlier_capture_of_fewer_images_keeps_its_places(tmp_path):
    records = [classifier_record(step=0).first(2), classifier_record(step=500)]
    write_viewer(records, tmp_path / "viewer.html")
    first = content(tmp_path / "viewer.html")["runs"][0]["captures"][0]
    assert [example is None for example in first["examples"]] == [False, False, True, True, True]
    assert first["trust"]["probes"]["relevance"][2:] == [None] * 3


def test_weights_that_are_not_finite_make_a_page(tmp_path):
    record = classifier_record()
    broken = {address: np.full_like(w, np.nan) for address, w in record.weights.items()}
    write_viewer(dataclasses.replace(record, weights=broken), tmp_path / "viewer.html")
    assert content(tmp_path / "viewer.html")["runs"][0]["examples"]


def test_blocks_are_small_endian_floats_and_codes():
    raw = zlib.decompress(pack([encode_rows([[0.5, 1.0]]), encode_rows([[0.0, 3.0]])]))
    assert np.frombuffer(raw, "<f4", 4).tolist() == [1.0, 3.0, 1.5, 3.0]
    assert list(raw[16:]) == [130, 255, 0, 255]


def test_the_viewer_loads_no_tensorflow():
    code = "import sys, vitcross.attention_maps.viewer; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
