"""A model that nobody here knows implements `Explainable` and nothing else, and has everything that others have.

It reads `scans` instead of `images`, cuts them into a grid of 5 x 7 patches behind two prefix tokens, averages the
patches and answers two questions: which kind (11 to choose from) and which size (13). Everything is checked against
loops in float64 (`tests/reference.py`, `relevance_reference.py`) that know the formulas only.
"""

import functools
import re

import keras
import numpy as np
import pytest
from keras import ops

from tests import backend, reference
from tests.attention_maps import relevance_reference
from tests.attention_maps.test_viewer_payload import content, table
from vitcross.attention_maps import (
    AttentionMaps,
    Capture,
    RelevanceExplainer,
    Trust,
    capture,
    read_map,
    sheets,
    statistics,
)
from vitcross.attention_maps.trust.checks import MapEvaluator
from vitcross.attention_maps.trust.head_importance import head_importance
from vitcross.attention_maps.trust.pixel_scores import PixelScorer, blur, patch_mask
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.attention_maps.trust.unlabeled_checks import UnlabeledChecks
from vitcross.data.batch import normalize
from vitcross.layers import AttentionControls
from vitcross.layers.encoder import TransformerEncoder
from vitcross.layers.token_layout import TokenLayout
from vitcross.models.explainable import Explainable, Reading, Tower, pick, probability_of, unchanged
from vitcross.sinks.gallery.sink import Gallery

B, PATCH, GRID, PREFIX, DEPTH, HEADS, DIM = 17, 3, (5, 7), 2, 2, 3, 57
KINDS, SIZES = 11, 13
SCAN = (GRID[0] * PATCH, GRID[1] * PATCH)
P = GRID[0] * GRID[1]
NAMES = (*(f"kind {k}" for k in range(KINDS)), *(f"size {k}" for k in range(SIZES)))
OUTPUTS = (slice(0, KINDS), slice(KINDS, KINDS + SIZES))
# Some of either question.
TARGET = np.array([(5 * b) % (KINDS + SIZES) for b in range(B)])


class Scanner(Explainable, keras.Model):
    """Scans (B, H, W, 1) to logits (B, 24): those of the kind, then those of the size."""

    batch_keys = ("scans",)
    num_choices = KINDS + SIZES
    patch_size = (PATCH, PATCH)

    def __init__(self, name="scanner", **kwargs):
        super().__init__(name=name, **kwargs)
        self.patches = keras.layers.Dense(DIM, name="patches")
        self.positions = keras.layers.Embedding(PREFIX + P, DIM, name="positions")
        self.encoder = TransformerEncoder(depth=DEPTH, num_heads=HEADS, name="encoder")
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.kind, self.size = keras.layers.Dense(KINDS, name="kind"), keras.layers.Dense(SIZES, name="size")
        self.build()

    def build(self, input_shape=None):
        for layer, shape in (
            (self.patches, (None, PATCH * PATCH)),
            (self.positions, (None,)),
            (self.encoder, (None, None, DIM)),
            (self.norm, (None, None, DIM)),
            (self.kind, (None, DIM)),
            (self.size, (None, DIM)),
        ):
            layer.build(shape)

    @property
    def towers(self):
        addresses = tuple(f"scanner/{address}" for address in self.encoder.attention_addresses)
        sizes = {"num_heads": HEADS, "embed_dim": DIM}
        return (Tower(name="scanner", tokens="patches", attention_addresses=addresses, pooling="gap", **sizes),)

    def token_layout_for(self, image_size=None):
        return TokenLayout.from_image(image_size or SCAN, PATCH, num_prefix_tokens=PREFIX)

    def embed(self, images, training=None):
        cut = ops.reshape(images, (-1, GRID[0], PATCH, GRID[1], PATCH))
        patches = self.patches(ops.reshape(ops.transpose(cut, (0, 1, 3, 2, 4)), (-1, P, PATCH * PATCH)))
        prefix = ops.zeros((ops.shape(patches)[0], PREFIX, DIM), patches.dtype)
        return ops.concatenate([prefix, patches], axis=1) + self.positions(ops.arange(PREFIX + P))

    def read(self, tokens, inputs=None, attention_controls=None, averaged=unchanged):
        controls = attention_controls and attention_controls.scope("scanner")
        tokens, weights = self.encoder(tokens, return_attention_scores=True, attention_controls=controls)
        pooled = ops.mean(averaged("scanner", self.norm(tokens))[:, PREFIX:], axis=1)
        outputs = ops.concatenate([self.kind(pooled), self.size(pooled)], axis=-1)
        return Reading(outputs, {f"scanner/{address}": value for address, value in weights.items()}, tokens)

    def logits_of(self, outputs):
        return outputs[:, OUTPUTS[0]]  # what it says first is the kind

    def probability(self, outputs, query):
        """Among the choices of the target's own question."""
        kinds, sizes = (outputs[:, part] for part in OUTPUTS)
        of_size, target = query["target"] >= KINDS, query["target"]
        kind = probability_of(kinds, ops.where(of_size, 0, target))
        number, correct, most = probability_of(sizes, ops.maximum(target - KINDS, 0))
        size = number, correct, most + KINDS
        return tuple(ops.where(of_size, second, first) for first, second in zip(kind, size, strict=True))

    def call(self, scans):
        return self.read(self.embed(scans)).outputs


@functools.cache
def model():
    found = backend.randomize(Scanner())
    for head in (found.kind, found.size):
        head.kernel.assign(9 * backend.to_numpy(head.kernel.value))
    return found


@functools.cache
def examples():
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (B, *SCAN, 1), dtype=np.uint8)
    low = random.uniform(0, 0.4, (B, 2))
    return {
        "scans": normalize(pixels),
        "labels": np.arange(B, dtype=np.int32) % KINDS,
        "index": np.arange(B) + 100,
        "box": np.concatenate([low, low + 0.5], axis=1).astype(np.float32),
        "valid": np.ones(B, bool),
    }, pixels


def valid(rows):
    return {**examples()[0], "valid": np.isin(np.arange(B), rows)}


# ------------------------------------------------------------------------------------------------- what it must compute


def oracle(scans, kept=None):
    """(logits (B, 24), weights by address, tokens (B, S, D) after the last block and after the norm) in float64; `kept`
    (C,) leaves out the other patches."""
    p = backend.parameters(model())
    patches = reference.linear_patches(
        scans, {"kernel": p["patches/kernel"], "bias": p["patches/bias"]}, (PATCH, PATCH)
    )
    tokens = np.concatenate([np.zeros((len(scans), PREFIX, DIM)), patches], axis=1) + p["positions/embeddings"]
    if kept is not None:
        tokens = tokens[:, [*range(PREFIX), *(PREFIX + np.asarray(kept))]]
    tokens, weights = reference.encoder(tokens, backend.below(p, "encoder"), DEPTH, HEADS)
    normed = reference.layer_norm(tokens, backend.below(p, "norm"))
    pooled = normed[:, PREFIX:].mean(axis=1)
    logits = np.concatenate([reference.dense(pooled, backend.below(p, name)) for name in ("kind", "size")], axis=1)
    return logits, {f"scanner/{address}": w for address, w in weights.items()}, tokens, normed


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def probability(logits, target):
    """(B,) of each target among the choices of its own question."""
    parts = [OUTPUTS[int(t >= KINDS)] for t in target]
    return np.array([softmax(row[part])[t - part.start] for row, part, t in zip(logits, parts, target, strict=True)])


def loop_rollout(weights):
    """(B, S, S), one example and layer at a time."""
    found = []
    for b in range(B):
        matrix = np.eye(PREFIX + P)
        for layer in weights.values():
            mixed = layer[b].mean(axis=0) / 2 + np.eye(PREFIX + P) / 2
            matrix = mixed / mixed.sum(axis=1, keepdims=True) @ matrix
        found.append(matrix)
    return np.stack(found)


def loop_relevance(target):
    """(B, P): gradients by another way to differentiate, the rules by loops, the pooling by hand."""
    scans = examples()[0]["scans"]
    _, weights, _, normed = oracle(scans)
    shape = (B, HEADS, PREFIX + P, PREFIX + P)
    size = int(np.prod(shape))

    def total(flat):
        offsets = {a: ops.reshape(flat[i * size : (i + 1) * size], shape) for i, a in enumerate(weights)}
        reading = model().read(model().embed(scans), attention_controls=AttentionControls(weight_offsets=offsets))
        return ops.sum(pick(reading.outputs, ops.convert_to_tensor(target, "int32")))

    gradients = backend.gradient(total, np.zeros(len(weights) * size, np.float32)).reshape(-1, *shape)
    p = backend.parameters(model())
    by_pool = np.concatenate([p["kind/kernel"], p["size/kernel"]], axis=1)[:, target].T
    products = np.maximum(np.einsum("btd,bd->bt", normed, by_pool) / P, 0)
    products[:, :PREFIX] = 0  # the prefix has no part in the mean
    found = []
    for b in range(B):
        abars = [relevance_reference.abar(w[b], g[b]) for w, g in zip(weights.values(), gradients, strict=True)]
        found.append(relevance_reference.pooled(products[b], relevance_reference.chain(abars))[PREFIX:])
    return np.stack(found)


# -------------------------------------------------------------------------------------------------------------- capture


@pytest.fixture(scope="module")
def record():
    return Capture(model(), explain=True)(examples()[0], step=23, class_names=NAMES, target=TARGET)


def test_a_record_holds_what_the_model_computes(record):
    batch, pixels = examples()
    logits, weights, tokens, _ = oracle(batch["scans"])
    assert list(record.weights) == list(weights) == [f"scanner/block_0{i}/self_attention" for i in range(DEPTH)]
    for address, expected in weights.items():
        np.testing.assert_allclose(record.weights[address], expected, atol=1e-5)
    np.testing.assert_allclose(record.token_norms, np.linalg.norm(tokens, axis=-1), rtol=1e-4)
    np.testing.assert_allclose(record.probabilities, softmax(logits[:, OUTPUTS[0]]), atol=1e-4)
    np.testing.assert_array_equal(record.images, pixels)
    np.testing.assert_array_equal(record.labels, batch["labels"])
    assert record.token_layout == TokenLayout(grid_height=5, grid_width=7, num_prefix_tokens=2)
    assert (record.pooling, record.patch_size, record.step, record.text) == ("gap", (PATCH, PATCH), 23, None)
    some = capture(model(), valid([2, 13]))
    np.testing.assert_array_equal(some.images, pixels[[2, 13]])
    assert list(some.example_index) == [102, 113]


def test_raw_rollout_and_relevance_against_loops(record):
    weights = oracle(examples()[0]["scans"])[1]
    last = list(weights.values())[-1].mean(axis=1)
    np.testing.assert_allclose(read_map(record, "raw"), last[:, PREFIX:, PREFIX:].mean(axis=1), atol=1e-5)
    expected = loop_rollout(weights)[:, PREFIX:, PREFIX:].mean(axis=1)
    np.testing.assert_allclose(read_map(record, "rollout"), expected, atol=1e-5)
    expected = loop_relevance(TARGET)
    assert (expected.max(axis=1) > 0).mean() > 0.7
    np.testing.assert_allclose(read_map(record, "relevance"), expected, atol=1e-4 * expected.max(), rtol=1e-3)


def test_what_can_be_explained_is_chosen_by_name_among_both_questions():
    logits = oracle(examples()[0]["scans"])[0]
    assert model().choose_target("Size 3", class_names=NAMES, size=2)[0].tolist() == [KINDS + 3] * 2
    assert model().choose_target(["kind 7", "20"], class_names=NAMES)[1] == ("kind 7", "size 9")
    with pytest.raises(ValueError, match=r"one of size \d+, .* and 19 more\. Received: target='size 13'"):
        model().choose_target("size 13", class_names=NAMES, size=1)
    with pytest.raises(ValueError, match=r"a number in \[0, 24\)"):
        model().choose_target([24])
    said = capture(model(), examples()[0], explain=True, class_names=NAMES)
    assert said.targets == tuple(NAMES[k] for k in logits[:, OUTPUTS[0]].argmax(axis=1))
    by_name = capture(model(), examples()[0], explain=True, class_names=NAMES, target="size 4").maps["relevance"]
    alone = RelevanceExplainer(model()).explain(examples()[0], np.full(B, KINDS + 4))
    np.testing.assert_array_equal(by_name, alone.image)
    np.testing.assert_allclose(alone.score, logits[:, KINDS + 4], atol=1e-3)
    assert alone.text is alone.tokens is None


def test_statistics_against_loops(record):
    scalars, tables = statistics(record)
    for layer, weights in enumerate(oracle(examples()[0]["scans"])[1].values()):
        entropies = -(weights * np.log(weights)).sum(axis=-1) / np.log(PREFIX + P)
        np.testing.assert_allclose(tables["entropy"][layer], entropies.mean(axis=(0, 2)), rtol=1e-4)
        prefix = weights[..., :PREFIX].sum(axis=-1)
        np.testing.assert_allclose(tables["prefix_mass"][layer], prefix.mean(axis=(0, 2)), rtol=1e-4)
    distances = np.zeros((P, P))
    for i in range(P):
        for j in range(P):
            rows, columns = i // GRID[1] - j // GRID[1], i % GRID[1] - j % GRID[1]
            distances[i, j] = PATCH * np.hypot(rows, columns)
    patches = weights[:, :, PREFIX:, PREFIX:]
    expected = ((patches / patches.sum(axis=-1, keepdims=True)) * distances).sum(axis=-1).mean(axis=(0, 2))
    np.testing.assert_allclose(tables["distance"][-1], expected, rtol=1e-4)
    assert scalars["attention_stats/distance/max"] >= tables["distance"][-1].mean() - 1e-6


# ---------------------------------------------------------------------------------------------------------------- trust


def test_scores_of_some_patches_are_those_of_a_model_without_the_others():
    batch = examples()[0]
    logits = oracle(batch["scans"])[0]
    scores = TokenScorer(model(), chunk=97)(batch, TARGET)
    np.testing.assert_allclose(scores.full, probability(logits, TARGET), rtol=1e-3, atol=1e-5)
    parts = [OUTPUTS[int(t >= KINDS)] for t in TARGET]
    best = [row[part].argmax() + part.start == t for row, part, t in zip(logits, parts, TARGET, strict=True)]
    np.testing.assert_array_equal(scores.right, best)
    kept = np.random.default_rng(3).permutation(P)[:19]
    found = scores(np.arange(B), np.tile(kept, (B, 1)))[0]
    np.testing.assert_allclose(found, probability(oracle(batch["scans"], kept)[0], TARGET), rtol=1e-3, atol=1e-5)
    # Without a target: the kind that it says of the whole scan.
    np.testing.assert_array_equal(TokenScorer(model())(batch).target, logits[:, OUTPUTS[0]].argmax(axis=1))
    # Blurred pixels instead.
    mask = patch_mask(np.tile(kept, (B, 1)), scores.layout, (PATCH, PATCH), SCAN)[..., None]
    blurred = np.where(mask, batch["scans"], blur(batch["scans"], 1.7))
    found = PixelScorer(model(), sigma=1.7)(batch, TARGET)(np.arange(B), np.tile(kept, (B, 1)))[0]
    np.testing.assert_allclose(found, probability(oracle(blurred)[0], TARGET), rtol=1e-3, atol=1e-5)


def test_trust_of_its_maps(record):
    batch = examples()[0]
    maps = {method: read_map(record, method) for method in ("raw", "rollout", "relevance")}
    report, found, curves = Trust(model(), num_steps=5).measure(batch, maps, TARGET, step=23)
    full = probability(oracle(batch["scans"])[0], TARGET)
    for p in (0, 11, P - 1):
        without = probability(oracle(batch["scans"], np.delete(np.arange(P), p))[0], TARGET)
        np.testing.assert_allclose(found["leave_one_out"][:, p], full - without, atol=1e-4)
    # The end of the insertion of each scan: its single most important patch.
    best = maps["relevance"].argmax(axis=1)
    for b in range(0, B, 5):
        if maps["relevance"][b].max() > 0:
            alone = oracle(batch["scans"][b : b + 1], best[b : b + 1])[0]
            expected = probability(alone, TARGET[b : b + 1])[0]
            np.testing.assert_allclose(curves["relevance"].insertion[b, 0], expected, rtol=1e-3, atol=1e-5)
    assert report.examples == B and set(report.fidelity) == {*maps, "leave_one_out"}
    assert report.fidelity["leave_one_out"].gap > 0


def test_the_importance_of_its_heads_is_a_derivative():
    found = head_importance(model(), examples()[0], TARGET, portion=7)
    assert {kind: table.shape for kind, table in found.importance.items()} == {"scanner/self_attention": (DEPTH, HEADS)}
    slopes = []
    for head in range(HEADS):
        losses = []
        for sign in (1, -1):
            gates = np.ones(HEADS, np.float32)
            gates[head] += sign * 0.01
            controls = AttentionControls(head_gates={"scanner/block_01/self_attention": gates})
            reading = model().read(model().embed(examples()[0]["scans"]), attention_controls=controls)
            losses.append(-np.log(probability(backend.to_numpy(reading.outputs).astype(np.float64), TARGET)))
        slopes.append(np.abs((losses[0] - losses[1]) / 0.02).mean())
    expected = np.array(slopes) / np.linalg.norm(slopes)
    np.testing.assert_allclose(found.importance["scanner/self_attention"][1], expected, rtol=0.03, atol=0.01)


def test_its_maps_are_held_against_boxes_a_fresh_model_and_its_own_examples(record):
    batch = examples()[0]
    captures = Capture(model(), explain=True)
    found = MapEvaluator(model(), batch, class_names=NAMES, portion=7)(
        record, batch, captures, step=23, trust=True, exact=True
    )
    assert 0 <= found.scalars["grounding/raw/pointing"] <= 1
    assert set(found.evaluation.report.sanity) == {"raw", "rollout", "relevance"}
    assert set(found.record.maps) == {"relevance", "leave_one_out"} and found.evaluation.heads is not None
    own = UnlabeledChecks(model(), NAMES)(record, batch, captures, step=23, target=TARGET)
    full, without = (probability(oracle(batch["scans"], kept)[0], TARGET) for kept in (None, range(1, P)))
    np.testing.assert_allclose(own.record.maps["leave_one_out"][:, 0], full - without, atol=1e-4)


# ------------------------------------------------------------------------------------------------------- what is seen


def test_sheets_gallery_and_viewer_show_it(record, tmp_path):
    pages = {}

    class Kept(Gallery):
        def media(self, step, media):
            super().media(step, media)
            pages[step] = media

        def animation(self, step, gif):
            pages["animation"] = gif

    few = {key: array[:5] for key, array in examples()[0].items()}
    gallery = Kept(tmp_path, title="scans")
    callback = AttentionMaps(
        network=model(),
        probes=few,
        sink=gallery,
        steps=[0],
        trust_steps=[0],
        class_names=NAMES,
        checks=MapEvaluator(model(), examples()[0], class_names=NAMES, portion=5),
        step=lambda: 0,
    )
    callback.on_train_begin()
    callback.on_train_end()
    media = pages[0]
    assert {"attention/self/overlay", "attention/self/heads", "attention/self/methods"} <= set(media.sheets)
    assert set(sheets(media.record)) <= set(media.sheets) and pages["animation"].startswith(b"GIF")
    assert media.record.trust is not None
    page = (tmp_path / "attention" / "index.html").read_text(encoding="utf-8")
    said = [NAMES[k] for k in oracle(few["scans"])[0][:, OUTPUTS[0]].argmax(axis=1)]
    assert all(name in page for name in said)
    for source in re.findall(r'<img[^>]* src="([^"]+)"', page):
        assert (tmp_path / "attention" / source).is_file()

    (tmp_path / "viewer.html").write_text(media.viewer, encoding="utf-8")
    shown = content(tmp_path / "viewer.html")
    (run,) = shown["runs"]
    assert run["grid"] == list(GRID)
    weights = oracle(few["scans"])[1]
    for example in range(5):
        for layer, w in enumerate(weights.values()):
            heads = w[example][:, PREFIX:, PREFIX:].mean(axis=1)
            found = table(shown, run, 0, example, f"layer/{layer}/heads")
            np.testing.assert_allclose(found, heads, atol=3e-3 * heads.max())
        expected = media.record.maps["relevance"][example]
        found = table(shown, run, 0, example, "map/relevance")[0]
        np.testing.assert_allclose(found, expected, atol=3e-3 * expected.max() + 1e-9)
