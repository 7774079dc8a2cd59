import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.data.augment import mixing
from vitcross.data.augment.randomness import uniforms
from vitcross.data.augment.streams import MIXING

SIZE, COUNT = (7, 11), 60
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (COUNT, *SIZE, 3)).astype(np.float32)
LABELS = RANDOM.integers(0, 13, COUNT).astype(np.int32)
DRAWS = uniforms(tf.range(COUNT, dtype=tf.int64), seed=5)[:, MIXING].numpy()


def partner(row, repeats):
    """Oracle: group 2 k and group 2 k + 1 are partners, equal places in them."""
    group, place = divmod(row, repeats)
    return (group + (1 if group % 2 == 0 else -1)) * repeats + place


def mix(images=IMAGES, labels=LABELS, draws=DRAWS, probability=1.0, **options):
    mixed = mixing.mix(tf.constant(images), tf.constant(labels), tf.constant(draws), probability=probability, **options)
    return {key: value.numpy() for key, value in mixed.items()}


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
def test_mixup_blends_images_and_labels_by_the_same_share(repeats):
    mixed = mix(mixup=0.8, cutmix=0.0, repeats=repeats)
    assert mixed["mixing"].std() > 0.2 and mixed["mixed_labels"].dtype == np.int32
    for row in range(COUNT):
        other, share = partner(row, repeats), mixed["mixing"][row]
        np.testing.assert_allclose(mixed["images"][row], share * IMAGES[row] + (1 - share) * IMAGES[other], atol=1e-3)
        assert mixed["mixed_labels"][row] == LABELS[other]


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_area_of_cutmix_is_the_share_of_the_label_exactly(repeats):
    mixed = mix(mixup=0.0, cutmix=1.0, repeats=repeats)
    for row in range(COUNT):
        own, other = IMAGES[row], IMAGES[partner(row, repeats)]
        from_other = (mixed["images"][row] == other).all(-1)
        from_own = (mixed["images"][row] == own).all(-1)
        assert (from_own | from_other).all()
        rows, columns = np.nonzero(from_other & ~from_own)
        assert mixed["mixing"][row] == np.float32(1 - len(rows) / np.prod(SIZE, dtype=np.float32))
        if len(rows):  # a rectangle without holes
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert mixed["mixing"].std() > 0.2


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.0, 3.0, width=32), st.floats(0.0, 3.0, width=32), st.floats(0.125, 1.0, width=32), st.integers(0, 999)
)
def test_mixing_conserves_the_mass_of_the_labels(mixup, cutmix, probability, seed):
    draws = uniforms(tf.range(COUNT, dtype=tf.int64), seed=seed)[:, MIXING].numpy()
    mixed = mix(draws=draws, mixup=mixup, cutmix=cutmix, probability=probability)
    share, classes = mixed["mixing"].astype(np.float64)[:, None], np.eye(13)
    target = share * classes[LABELS] + (1 - share) * classes[mixed["mixed_labels"]]
    assert (share >= 0).all() and (share <= 1).all()
    np.testing.assert_allclose(target.sum(1), 1, atol=1e-12)
    # What an image holds is the mean of both by their shares: of constant images the value says it.
    values = np.broadcast_to(np.arange(COUNT, dtype=np.float32)[:, None, None, None], IMAGES.shape)
    constant = mix(images=values, draws=draws, mixup=mixup, cutmix=cutmix, probability=probability)["images"]
    others = np.array([partner(row, 1) for row in range(COUNT)])
    expected = share[:, 0] * np.arange(COUNT) + (1 - share[:, 0]) * others
    np.testing.assert_allclose(constant.mean((1, 2, 3)), expected, atol=1e-3)


def test_both_take_turns_and_the_probability_leaves_the_rest_alone():
    count = 4000
    draws = uniforms(tf.range(count, dtype=tf.int64), seed=2)[:, MIXING].numpy()
    images = np.zeros((count, *SIZE, 1), np.float32)
    images[::2] = 1.0
    mixed = mix(images, np.zeros(count, np.int32), draws, mixup=1.0, cutmix=1.0, probability=0.7)
    whole = mixed["mixing"] == 1
    # CutMix may cut out nothing: a side shorter than two pixels.
    assert 0.28 < whole.mean() < 0.4
    np.testing.assert_array_equal(mixed["images"][whole], images[whole])
    blended = np.array([len(np.unique(image)) == 1 and 0 < image.flat[0] < 1 for image in mixed["images"]])
    assert abs(blended.mean() - 0.35) < 0.03


@pytest.mark.parametrize("concentration", [0.1, 0.8, 1.0, 2.5])
def test_shares_have_the_distribution_of_beta(concentration):
    drawn = mixing.symmetric_beta(tf.constant(np.linspace(0, 1, 4001, endpoint=False, dtype="f")), concentration)
    drawn = drawn.numpy()
    assert (np.diff(drawn) >= 0).all() and drawn.min() >= 0 and drawn.max() <= 1
    expected = np.random.default_rng(0).beta(concentration, concentration, 400_000)
    quantiles = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(drawn, quantiles), np.quantile(expected, quantiles), atol=0.006)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * concentration + 1)), rel=0.01)


def test_the_center_of_a_cut_is_anywhere():
    draws = uniforms(tf.range(2000, dtype=tf.int64), seed=4)[:, MIXING].numpy()
    images = np.zeros((2000, 23, 29, 1), np.float32)
    images[::2] = 1
    mixed = mix(images, np.zeros(2000, np.int32), draws, mixup=0.0, cutmix=1.0)["images"]
    cut = np.abs(mixed - images)[..., 0].mean(0)
    assert cut.min() > 0.1 and cut.max() < 0.55  # the middle is covered most, the corners least
    np.testing.assert_allclose(cut, cut[::-1, ::-1], atol=0.05)


def test_eager_and_tf_data_agree():
    eager = mix(mixup=0.8, cutmix=1.0, probability=0.9)

    def change(images, labels, draws):
        return mixing.mix(images, labels, draws, mixup=0.8, cutmix=1.0, probability=0.9)

    inside = next(iter(tf.data.Dataset.from_tensors((IMAGES, LABELS, DRAWS)).map(change)))
    for key, values in eager.items():
        np.testing.assert_allclose(inside[key], values, atol=1e-3)
        assert inside[key].shape == values.shape
