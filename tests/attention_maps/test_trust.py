"""A report of a model from end to end: on a network trained to look at one patch, on constant ones, on every model."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.backend import randomize, to_numpy
from tests.models import image_text
from vitcross.attention_maps.records.trust_report import CANNOT_TELL, FOLLOWS, NO_BETTER, NOTHING, TrustReport
from vitcross.attention_maps.sheets.trust_sheet import trust_sheet
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.attention_maps.trust.trust import Trust, trust, trust_scalars
from vitcross.attention_maps.trust.trust_evaluation import evaluate_trust
from vitcross.models import VisionTransformer

COUNT, P = 19, 15
RNG = np.random.default_rng(13)


def planted(count=COUNT, seed=0):
    """Images of noise with one bright patch, and (count, P) where it lies."""
    random = np.random.default_rng(seed)
    images = random.uniform(-0.2, 0.2, (count, 24, 40, 3)).astype("float32")
    patches = random.integers(0, P, count)
    for i, patch in enumerate(patches):
        row, column = divmod(int(patch), 5)
        images[i, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 1
    return images, np.eye(P)[patches]


def looking():
    """A network, set by hand, that says class 0 where a patch is bright, else class 1: a linear stem that measures
    brightness, blocks that add nothing, the mean of the patches."""
    model = VisionTransformer(
        num_classes=2, image_size=(24, 40), patch_size=8, embed_dim=6, depth=1, num_heads=2, pooling="gap"
    )
    for variable in model.variables:
        variable.assign(np.zeros(variable.shape))
    for variable in model.variables:
        if variable.path.endswith(("gamma", "scale")):
            variable.assign(np.ones(variable.shape))
    kernel = next(v for v in model.variables if "patch_embedding" in v.path and v.path.endswith("kernel"))
    value = np.zeros(kernel.shape)
    value[..., 0] = 1 / np.prod(kernel.shape[:-1])
    kernel.assign(value)
    bias = next(v for v in model.variables if "patch_embedding" in v.path and v.path.endswith("bias"))
    # Behind the norm, 30 x + 34 y is near 0 of what is dark, large of what is bright, and small of what is blurred.
    bias.assign([-0.6, 0.5, 0.0, 0.0, 0.0, 0.0])
    head = np.zeros((6, 2))
    head[:2, 0] = 30, 34
    model.head.kernel.assign(head)
    model.head.bias.assign([-4.5, 0.0])
    return model


@pytest.fixture(scope="module")
def model():
    return looking()


def test_the_true_map_follows_the_model_and_its_reverse_does_not(model):
    images, truth = planted()
    noise = RNG.random((COUNT, P))
    maps = {"relevance": truth, "raw": -truth, "rollout": noise}
    report = trust(model, {"images": images}, maps, np.zeros(COUNT, int), num_steps=None, step=40)
    verdicts = {method: row.verdict for method, row in report.fidelity.items()}
    assert verdicts == {"raw": NO_BETTER, "rollout": CANNOT_TELL, "relevance": FOLLOWS, "leave_one_out": FOLLOWS}
    assert "holds both no effect and a large one" in report.fidelity["rollout"].reason, "noise on 12 examples"
    assert list(report.fidelity) == ["raw", "rollout", "relevance", "leave_one_out"], "in the order they are shown"
    assert report.fidelity["raw"].gap < 0 < report.fidelity["relevance"].gap
    assert report.fidelity["relevance"].gap_other > 0 and report.fidelity["relevance"].gap_center > 0
    assert report.fidelity["leave_one_out"].gap_share == 1
    assert (report.step, report.examples, report.explainable) == (40, COUNT, COUNT)
    assert report.seconds > 0


def test_a_constant_model_has_nothing_to_explain():
    model = looking()
    model.head.kernel.assign(np.zeros((6, 2)))
    images, truth = planted()
    report = trust(model, {"images": images}, {"relevance": truth})
    assert {row.verdict for row in report.fidelity.values()} == {NOTHING} and report.explainable == 0
    model.head.bias.assign([np.nan, 0.0])
    report = trust(model, {"images": images}, {"relevance": truth}, np.zeros(COUNT, int))
    assert {row.verdict for row in report.fidelity.values()} == {NOTHING}


def test_a_perfect_map_is_never_said_to_be_no_better(model):
    """Of 7 examples no test reaches .01: that is no verdict on the map. 8 are enough."""
    images, truth = planted()
    for count in (1, 2, 7):
        report = trust(model, {"images": images[:count]}, {"relevance": truth[:count]}, np.zeros(count, int))
        row = report.fidelity["relevance"]
        assert row.verdict == CANNOT_TELL and row.full_words == (
            f"cannot tell (too few examples with something to explain: {count} of them, at least 8 are needed)"
        )
        assert trust_scalars(report)["trust/relevance/verdict"] == -2
    report = trust(model, {"images": images[:8]}, {"relevance": truth[:8]}, np.zeros(8, int), num_steps=None)
    assert report.fidelity["relevance"].verdict == FOLLOWS and not report.fidelity["relevance"].reason


def test_scalars_have_the_dashboards_keys(model):
    images, truth = planted()
    maps = {"raw": -truth, "relevance": truth}
    report = trust(model, {"images": images}, maps, fresh_maps={"raw": RNG.random((COUNT, P))})
    scalars = trust_scalars(report)
    names = ("deletion", "insertion", "gap", "gap_low", "gap_high", "gap_share", "verdict")
    expected = {f"trust/{m}/{n}" for m in ("raw", "relevance", "leave_one_out") for n in names}
    expected |= {"trust/examples", "trust/explainable", "trust/random/deletion", "trust/random/insertion"}
    # The true map is constant but for one patch, and so its ranks are: they are known all the same.
    assert set(scalars) == expected | {"trust/raw/sanity"}
    assert scalars["trust/relevance/verdict"] == report.fidelity["relevance"].verdict
    assert all(isinstance(value, float) and np.isfinite(value) for value in scalars.values())
    # Without the time it took: equal captures are equal bytes.
    assert TrustReport.from_json(report.to_json()) == dataclasses.replace(report, seconds=0.0) and report.seconds > 0


def test_measuring_twice_and_in_portions_gives_the_same(model):
    images, truth = planted()
    maps = {"raw": RNG.random((COUNT, P)), "relevance": truth}
    measure = Trust(model)
    first, second = (measure({"images": images}, maps) for _ in range(2))
    assert first.fidelity == second.fidelity
    portions = trust(model, {"images": images}, maps, portion=4)
    for method, row in first.fidelity.items():
        for name in ("deletion", "insertion", "gap", "gap_other", "gap_center", "gap_low", "gap_high"):
            assert getattr(portions.fidelity[method], name) == pytest.approx(getattr(row, name), abs=1e-6)
        assert portions.fidelity[method].verdict == row.verdict


def test_rows_that_are_not_valid_have_no_part(model):
    images, truth = planted()
    valid = np.arange(COUNT) % 3 > 0
    target = np.arange(COUNT) % 2
    some = trust(model, {"images": images, "valid": valid}, {"raw": truth[valid]}, target)
    alone = trust(model, {"images": images[valid]}, {"raw": truth[valid]}, target[valid])
    assert some.fidelity == alone.fidelity and some.examples == valid.sum()
    with pytest.raises(ValueError, match=r"`maps\['raw'\]` must have the shape \(12, 15\), a row for every valid"):
        trust(model, {"images": images, "valid": valid}, {"raw": truth}, target)
    with pytest.raises(ValueError, match="at least one valid image"):
        trust(model, {"images": images, "valid": np.zeros(COUNT, bool)}, {"raw": truth})
    with pytest.raises(ValueError, match="`maps` must hold at least one method"):
        trust(model, {"images": images}, {}, reference=False)


def test_probes_have_numbers_of_their_own(model):
    images, truth = planted(5, seed=3)
    measure = Trust(model)
    probes = measure.probes({"images": images}, {"relevance": truth, "raw": -truth}, np.zeros(5, int))
    assert list(probes) == ["raw", "relevance"] and len(probes["raw"]) == 5
    assert all(a.gap < b.gap and b.explainable for a, b in zip(probes["raw"], probes["relevance"], strict=True))


def test_the_map_of_leave_one_out(model):
    images, truth = planted(5, seed=3)
    found = Trust(model).leave_one_out({"images": images}, np.zeros(5, int))
    scores = TokenScorer(model)({"images": images}, np.zeros(5, int))
    np.testing.assert_array_equal(found.argmax(axis=1), truth.argmax(axis=1))
    kept = np.delete(np.arange(P), 6)[None]
    np.testing.assert_allclose(found[2, 6], scores.full[2] - scores([2], kept)[0][0], atol=1e-6)


@pytest.mark.parametrize("name", ["dual_encoder", "captioner", "question_answering"])
def test_every_image_text_model_can_be_measured(name):
    model = getattr(image_text, name)()
    batch = {"images": image_text.IMAGES, "token_ids": image_text.IDS, "padding_mask": image_text.REAL}
    report = trust(model, batch, {"relevance": RNG.random((3, P))}, num_steps=2)
    assert list(report.fidelity) == ["relevance", "leave_one_out"]
    for row in report.fidelity.values():
        assert 0 <= row.deletion <= 1 and 0 <= row.insertion <= 1 and np.isfinite(row.gap)


def test_training_with_and_without_trust_is_the_same_bits():
    images, truth = planted(8)

    def losses(measured):
        keras.utils.set_random_seed(3)
        model = VisionTransformer(
            num_classes=2, image_size=(24, 40), patch_size=8, embed_dim=6, depth=1, num_heads=2, pooling="gap",
            dropout_rate=0.3, stem="conv",
        )  # fmt: skip
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
        measure, found = Trust(model, num_steps=2), []
        for _ in range(3):
            if measured:
                measure({"images": images}, {"raw": truth})
            found.append(float(model.train_on_batch(images, np.arange(8) % 2)))
        return found, [to_numpy(v.value) for v in model.variables], np.random.random()

    with_trust, without = losses(True), losses(False)
    assert with_trust[0] == without[0] and with_trust[2] == without[2]
    for a, b in zip(with_trust[1], without[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def evaluation():
    images, truth = planted()
    maps = {"raw": -truth, "rollout": RNG.random((COUNT, P)), "relevance": truth}
    return evaluate_trust(looking(), {"images": images}, maps, np.zeros(COUNT, int), pixel_steps=5, portion=7)


def test_a_finished_run_has_exact_curves_and_the_perturbation_test(evaluation):
    assert list(evaluation.curves) == ["raw", "rollout", "relevance", "leave_one_out", "center", "random"]
    curves = evaluation.curves["relevance"]
    np.testing.assert_allclose(curves.kept, np.arange(1, P + 1) / P)
    scores = TokenScorer(looking())({"images": planted()[0]}, np.zeros(COUNT, int))
    # Without the bright patch the model says the other class at once; with it, never.
    positive, negative = curves.perturbation
    assert positive < 0.1 and negative == 1 and curves.positive[-1] == scores.right.mean() == 1
    assert evaluation.curves["raw"].perturbation[0] == 1
    exact = np.trapezoid(curves.insertion, curves.kept) / (1 - 1 / P)
    assert evaluation.report.fidelity["relevance"].insertion == pytest.approx(exact)
    random = evaluation.curves["random"]
    assert evaluation.report.random_deletion == pytest.approx(np.trapezoid(random.deletion, random.kept) / (1 - 1 / P))


def test_blurred_pixels_stand_beside_dropped_tokens(evaluation):
    assert list(evaluation.blurred) == list(evaluation.report.fidelity)
    assert evaluation.blurred["relevance"].verdict == FOLLOWS and evaluation.blurred["raw"].verdict == NO_BETTER
    assert len(evaluation.blurred_curves["raw"].kept) == 6
    content = evaluation.to_json()
    assert set(content) == {"report", "curves", "blurred", "blurred_curves", "heads"}
    (kind,) = content["heads"]["importance"]
    assert kind == "image_encoder/self_attention" and set(content["heads"]["drop"]) == {kind}
    assert content["curves"]["relevance"]["negative_area"] == 1


@pytest.mark.parametrize(("num_steps", "count"), [(None, 5), (4, 5), (None, 1)])
def test_the_passes_are_known_before_and_progress_ends_at_one(num_steps, count):
    images, truth = planted(count)
    checks, rows, shares = Trust(looking(), num_steps=num_steps), [], []
    score = checks.scorer.scores

    def counted(*arguments):
        scores = score(*arguments)
        rows.append(count)  # the whole images
        run = scores._run
        scores._run = lambda examples, kept: rows.append(len(kept)) or run(examples, kept)
        return scores

    checks.scorer.scores = counted
    batch, maps = {"images": images}, {"raw": -truth, "relevance": truth}
    words = checks.effort(batch, num_methods=3)
    report = checks(batch, maps, progress=shares.append)
    assert report.runs * count == sum(rows) and report.effort == words and f"{report.runs:,} network runs" in words
    assert report.steps == (num_steps or P - 1) and report.patches == P
    assert shares[-1] == pytest.approx(1) and shares == sorted(shares) and shares[0] > 0


def test_progress_of_an_evaluation_covers_dropped_tokens_and_blurred_pixels():
    images, truth = planted(3)
    shares = []
    evaluate_trust(looking(), {"images": images}, {"raw": truth}, num_steps=3, pixel_steps=2, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and shares[0] < 0.5


def test_the_sheet_says_the_verdicts_in_words(evaluation):
    sheet = trust_sheet(evaluation)
    assert sheet.image.dtype == np.uint8 and sheet.image.shape[1] < 1400
    assert "relevance: follows the model (gap +" in sheet.caption
    assert "last layer: no better than random (gap -" in sheet.caption
    # Every method's color is there.
    for color in ((0, 114, 178), (230, 159, 0), (213, 60, 40)):
        assert (sheet.image == color).all(axis=-1).sum() > 60
    blurred = trust_sheet(evaluation, blurred=True)
    assert "blurred" in blurred.title and (blurred.image.shape[1] == sheet.image.shape[1])
    assert blurred.png != sheet.png


def test_the_sheet_says_where_the_maps_point_once_it_is_known(evaluation):
    row = {"pointing": 0.75, "energy": 0.5, "lift": 2.0, "chance": 0.25}
    report = dataclasses.replace(evaluation.report, grounding={"raw": row}, grounding_mark={"rollout": row})
    grounded = dataclasses.replace(evaluation, report=report)
    without, found = trust_sheet(evaluation).image, trust_sheet(grounded).image
    assert found.shape[0] > without.shape[0] and found.shape[1] == without.shape[1]
    colors = [np.array(color) for color in ((0, 114, 178), (230, 159, 0), (213, 60, 40))]
    below = found[without.shape[0] :]
    assert [bool((below == color).all(axis=-1).any()) for color in colors] == [True, True, False]
    assert trust_sheet(grounded, blurred=True).image.shape == trust_sheet(evaluation, blurred=True).image.shape


def test_no_blurred_pixels_where_they_are_not_asked_for():
    images, truth = planted(4)
    found = evaluate_trust(looking(), {"images": images}, {"raw": truth}, num_steps=2, pixel_steps=None)
    assert found.blurred == {} and found.blurred_curves == {}
    with pytest.raises(ValueError, match="`evaluation` must hold the measurements to show"):
        trust_sheet(found, blurred=True)


def test_random_networks_can_be_explained_faithfully_too():
    # Why fidelity says nothing about learning: leave-one-out follows a network that has learned nothing.
    model = randomize(
        VisionTransformer(
            num_classes=7, image_size=(24, 40), patch_size=8, embed_dim=33, depth=1, num_heads=3, pooling="gap"
        )
    )
    model.head.kernel.assign(40 * to_numpy(model.head.kernel.value))
    report = trust(model, {"images": RNG.uniform(-1, 1, (COUNT, 24, 40, 3))}, {"raw": RNG.random((COUNT, P))})
    assert report.fidelity["leave_one_out"].verdict == FOLLOWS
    assert report.fidelity["raw"].verdict == CANNOT_TELL, "noise on few examples"


def test_it_loads_without_keras_and_scipy():
    code = """import pkgutil, sys, importlib, vitcross.attention_maps as maps
for module in pkgutil.walk_packages(maps.__path__, "vitcross.attention_maps."):
    if not module.name.endswith((".callback", ".forward")):
        importlib.import_module(module.name)
        for heavy in ("keras", "tensorflow", "scipy"):
            assert heavy not in sys.modules, f"{module.name} loads {heavy}"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
