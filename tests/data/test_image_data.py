"""The pipeline end to end: order, resuming, exact evaluation, unreadable images, caches."""

import hashlib
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.data.images import ArraySource, encode, gradient
from vitcross.data.batch import check_batch, normalize, to_uint8
from vitcross.data.image_data import ImageData
from vitcross.data.problems import TooManyUnreadable, UnreadableImage
from vitcross.data.sources import decode
from vitcross.data.sources.source import Source
from vitcross.options.data import ImageOptions

SIZE = (6, 10)
CLASSES = ("a", "b", "c")
FIRST_VERSION = "3062c268f4d4011fd0c1ece9eb65e77e04b1c1cae6a9e47d5d2a0797cdf1ab2f"


def array_source(size, *, name="train", shape=SIZE):
    """Every image is filled with the index of its example."""
    images = np.broadcast_to(np.arange(size, dtype=np.uint8)[:, None, None, None], (size, *shape, 3)).copy()
    boxes = np.tile(np.array([0.25, 0.25, 0.5, 0.5], np.float32), (size, 1))
    counts = np.arange(size, dtype=np.int32) % 5 + 1
    labels = np.arange(size) % 3
    return ArraySource(images=images, labels=labels, class_names=CLASSES, name=name, box=boxes, num_objects=counts)


class EncodedSource(Source):
    """Encoded images, some of them broken."""

    def __init__(self, images, *, name="train", image_shape=None, channels=3):
        super().__init__(name=name, class_names=CLASSES, channels=channels, image_shape=image_shape)
        self._images = images
        self.reads = 0

    def __len__(self):
        return len(self._images)

    def record(self, index):
        self.reads += 1
        return {"image": self._images[index], "label": index % 3}


def image_data(train, validation=None, **options):
    options = {"image_size": SIZE, "batch_size": 4} | options
    validation = array_source(7) if validation is None else validation
    return ImageData(
        name="set",
        options=ImageOptions(**options),
        train=train,
        validation=validation,
        num_classes=3,
    )


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def joined(batches, key):
    return np.concatenate([batch[key] for batch in batches])


def test_batches_keep_the_contract_and_belong_together():
    data = image_data(array_source(13))
    for batch in take(data.train_batches(seed=1), 5):
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=3)
        assert batch["valid"].all()
        np.testing.assert_array_equal(batch["labels"], batch["index"] % 3)
        np.testing.assert_array_equal(batch["num_objects"], batch["index"] % 5 + 1)
        np.testing.assert_array_equal(to_uint8(batch["images"])[:, 0, 0, 0], batch["index"])


def test_shapes_are_static():
    data = image_data(array_source(13))
    for dataset in (data.train_batches(seed=1), data.evaluation_batches("validation")):
        assert dataset.element_spec["images"].shape == (4, *SIZE, 3)
        assert dataset.element_spec["labels"].shape == (4,) and dataset.element_spec["box"].shape == (4, 4)


def test_every_pass_visits_each_example_once_in_a_new_order():
    batches = take(image_data(array_source(13)).train_batches(seed=3, batch_size=13), 3)
    for batch in batches:
        np.testing.assert_array_equal(np.sort(batch["index"]), np.arange(13))
    assert len({tuple(batch["index"]) for batch in batches}) == 3


def test_the_seed_decides():
    data = image_data(array_source(13), augmentation={"flip": True, "padded_crop": 1})
    first, again, other = (take(data.train_batches(seed=seed), 4) for seed in (3, 3, 4))
    np.testing.assert_array_equal(joined(first, "images"), joined(again, "images"))
    assert not np.array_equal(joined(first, "index"), joined(other, "index"))


def test_without_the_later_changes_batches_are_those_of_the_first_version():
    """The hash was taken before there were any: a run that uses none of them is the same, bit for bit."""
    images = np.random.default_rng(0).integers(0, 256, (13, *SIZE, 3), np.uint8)
    source = ArraySource(images=images, labels=np.arange(13) % 3, class_names=CLASSES)
    data = image_data(source, augmentation={"flip": True, "padded_crop": 2})
    batches = take(data.train_batches(seed=9), 9)
    assert set(batches[0]) == {"images", "labels", "valid", "index"}
    found = hashlib.sha256(joined(batches, "images").tobytes() + joined(batches, "labels").tobytes()).hexdigest()
    assert found == FIRST_VERSION


EVERYTHING = {
    "flip": True,
    "padded_crop": 2,
    "randaugment_operations": 1,
    "color_jitter": 0.2,
    "erasing": 0.5,
    "mixup": 0.8,
    "cutmix": 1.0,
    "mix_probability": 0.9,
}


@pytest.mark.parametrize(("repeats", "positions"), [(1, (12, 26)), (3, (12, 30))])
def test_a_whole_recipe_starts_at_a_position_as_if_it_had_come_there(repeats, positions):
    images = np.random.default_rng(0).integers(0, 256, (13, *SIZE, 3), np.uint8)
    source = ArraySource(images=images, labels=np.arange(13) % 3, class_names=CLASSES)
    data = image_data(source, batch_size=12, augmentation=EVERYTHING | {"repeats": repeats})
    whole = take(data.train_batches(seed=9), 6)
    for batch in whole:
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=3)
    for position in positions:
        late = take(data.train_batches(seed=9, start_position=position), 2)
        for key in ("labels", "index", "mixed_labels", "mixing"):
            np.testing.assert_array_equal(joined(late, key), joined(whole, key)[position : position + 24])
        # Bit for bit from the start of a batch; in a batch of other images a sum may be rounded differently.
        off = np.abs(joined(late, "images") - joined(whole, "images")[position : position + 24]).max()
        assert off <= (0.02 if position % 12 else 0)
    assert joined(whole, "mixing").min() < 0.5 and not any("mixing" in b for b in data.evaluation_batches("validation"))


def test_repeated_examples_follow_each_other_and_are_changed_anew():
    images = np.random.default_rng(0).integers(0, 256, (13, *SIZE, 3), np.uint8)
    source = ArraySource(images=images, labels=np.arange(13) % 3, class_names=CLASSES)
    once, thrice = (
        take(image_data(source, batch_size=12, augmentation={"padded_crop": 4, "repeats": n}).train_batches(seed=9), 13)
        for n in (1, 3)
    )
    index = joined(thrice, "index")
    np.testing.assert_array_equal(index, np.repeat(joined(once, "index")[: len(index) // 3], 3))
    np.testing.assert_array_equal(np.sort(index[: 3 * 13]), np.repeat(np.arange(13), 3))
    pixels = joined(thrice, "images").reshape(-1, 3, np.prod(SIZE) * 3)
    assert np.mean([len(np.unique(group, axis=0)) for group in pixels]) > 2.5


def test_mixed_labels_are_those_of_the_partner_never_of_the_example_itself():
    data = image_data(array_source(251), batch_size=12, augmentation={"mixup": 1.0, "repeats": 3})
    for batch in take(data.train_batches(seed=9), 20):
        others = batch["index"].reshape(2, 2, 3)[:, ::-1].ravel()
        assert (others != batch["index"]).all()
        np.testing.assert_array_equal(batch["mixed_labels"], others % 3)
        # An image is filled with its index: what is seen is the mean of both by their shares.
        expected = batch["mixing"] * batch["index"] + (1 - batch["mixing"]) * others
        np.testing.assert_allclose((batch["images"][:, 0, 0, 0] + 1) * 127.5, expected, atol=0.01)


def test_positions_that_would_tear_a_pair_apart_are_refused():
    data = image_data(array_source(13), batch_size=12, augmentation={"mixup": 1.0, "repeats": 3})
    with pytest.raises(ValueError, match=r"start_position must be a multiple of 6.*Received: 3"):
        data.train_batches(seed=0, start_position=3)
    with pytest.raises(ValueError, match=r"must be a multiple of 6.*Received: 9"):
        data.train_batches(seed=0, batch_size=9)


@pytest.mark.parametrize("position", [4, 5, 13, 29])
def test_starting_at_a_position_equals_skipping_to_it(position):
    data = image_data(
        EncodedSource([encode(gradient(20, 17 + k, seed=k)) for k in range(13)]),
        augmentation={"flip": True, "padded_crop": 2, "random_resized_crop": 0.4, "color_jitter": 0.3},
    )
    whole = take(data.train_batches(seed=9), 12)
    late = take(data.train_batches(seed=9, start_position=position), 4)
    for key in ("images", "labels", "index"):
        np.testing.assert_array_equal(joined(late, key), joined(whole, key)[position : position + 16])


def test_nothing_is_read_to_skip():
    source = EncodedSource([encode(gradient(20, 17))] * 13)
    take(image_data(source, cache_gigabytes=0).train_batches(seed=0, start_position=13 * 10**9).take(1), 1)
    assert source.reads < 100  # a few batches ahead


@pytest.mark.parametrize("batch_size", [1, 4, 13, 20])
@pytest.mark.parametrize("cache", [0, 1])
def test_evaluation_counts_each_example_once(batch_size, cache):
    data = image_data(array_source(13), array_source(13), cache_gigabytes=cache)
    batches = take(data.evaluation_batches("validation", batch_size=batch_size), 99)
    assert {len(batch["labels"]) for batch in batches} == {batch_size}
    assert len(batches) == -(-13 // batch_size)
    valid = joined(batches, "valid")
    np.testing.assert_array_equal(joined(batches, "index")[valid], np.arange(13))
    np.testing.assert_array_equal(joined(batches, "labels")[valid], np.arange(13) % 3)


def test_a_limit_spreads_over_the_split():
    data = image_data(array_source(13), array_source(13))
    batches = take(data.evaluation_batches("validation", limit=5), 9)
    assert joined(batches, "index")[joined(batches, "valid")].tolist() == [0, 2, 5, 7, 10]
    assert joined(take(data.evaluation_batches("validation", limit=99), 9), "valid").sum() == 13
    with pytest.raises(ValueError, match="limit must be null or > 0. Received: 0"):
        data.evaluation_batches("validation", limit=0)


@pytest.mark.parametrize("augmentation", [{}, {"flip": True}, {"random_resized_crop": 0.5}])
@pytest.mark.parametrize("static", [True, False])
def test_the_cache_changes_no_bit(augmentation, static):
    images = [encode(gradient(12, 14 if static else 14 + k, seed=k)) for k in range(7)]
    batches = []
    for cache in (0, 1):
        source = EncodedSource(images, image_shape=(12, 14, 3) if static else None)
        data = image_data(source, augmentation=augmentation, cache_gigabytes=cache)
        batches.append(take(data.train_batches(seed=2), 3))
        reads = source.reads
        take(data.train_batches(seed=2), 3)
        random_from_files = not static and "random_resized_crop" in augmentation
        assert (source.reads == reads) == (cache == 1 and not random_from_files)
    np.testing.assert_array_equal(joined(batches[0], "images"), joined(batches[1], "images"))


def test_the_cache_decodes_nothing_before_it_is_asked_for():
    source = EncodedSource([encode(gradient(12, 14))] * 1009)
    data = image_data(source, cache_gigabytes=1)
    take(data.train_batches(seed=2), 1)
    assert 4 <= source.reads < 200


def test_the_cache_is_one_budget():
    bytes_of_a_split = 7 * 6 * 10 * 3
    data = image_data(array_source(7), array_source(7), cache_gigabytes=1.5 * bytes_of_a_split / 2**30)
    kinds = [type(data._reader(split)).__name__ for split in ("train", "validation")]
    assert kinds == ["CachingReader", "DecodingReader"]


def test_examples_and_preprocess_see_what_evaluation_sees():
    images = [encode(gradient(20 + k, 17, seed=k)) for k in range(7)]
    data = image_data(EncodedSource(images), EncodedSource(images), resize="pad")
    batches = take(data.evaluation_batches("validation"), 9)
    batch = data.examples("validation", [5, 0])
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=3)
    np.testing.assert_array_equal(batch["images"], joined(batches, "images")[[5, 0]])
    np.testing.assert_array_equal(data.preprocess(images[5]), batch["images"][0])
    with pytest.raises(ValueError, match=r"indices must be .* \[0, 7\)"):
        data.examples("validation", [7])
    with pytest.raises(UnreadableImage, match="missing.png"):
        data.preprocess("missing.png")


def test_normalization_of_both_paths_is_the_same():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    source = ArraySource(images=ramp, labels=[0], class_names=CLASSES)
    data = image_data(source, source, image_size=(16, 16), channels=1)
    batch = take(data.evaluation_batches("validation", batch_size=1), 1)[0]
    np.testing.assert_array_equal(batch["images"], normalize(ramp))


@pytest.mark.parametrize("cache", [0, 1])
def test_unreadable_images_are_replaced_in_training_and_not_counted_in_evaluation(cache, caplog):
    images = [encode(gradient(9, 9, seed=k)) for k in range(7)]
    images[2] = images[3] = b"broken"
    images[6] = b""
    data = image_data(
        EncodedSource(images), EncodedSource(images, name="validation"), max_unreadable=6, cache_gigabytes=cache
    )
    trained = take(data.train_batches(seed=0, batch_size=7), 3)
    for batch in trained:
        assert batch["valid"].all()
        assert sorted(batch["index"]) == [0, 0, 1, 4, 4, 4, 5]  # the next readable one, cyclically
        np.testing.assert_array_equal(batch["labels"], batch["index"] % 3)
    for _ in range(2):
        batches = take(data.evaluation_batches("validation"), 3)
        assert joined(batches, "valid").tolist() == [True, True, False, False, True, True, False, False]
    assert len(data.unreadable) == 6
    named = [record.message for record in caplog.records if "unreadable" in record.message]
    assert len(named) == 6 and sum("train/2" in message for message in named) == 1


@pytest.mark.parametrize("cache", [0, 1])
def test_too_many_unreadable_images_are_an_error(cache):
    images = [encode(gradient(9, 9))] * 3 + [b"broken"] * 4
    data = image_data(EncodedSource(images), max_unreadable=2, cache_gigabytes=cache)
    with pytest.raises((TooManyUnreadable, tf.errors.OpError), match="data.max_unreadable allows 2"):
        take(data.train_batches(seed=0), 5)
    assert str(data.unreadable.error).startswith("3 images cannot be read")
    assert "train/" in str(data.unreadable.error) and "no image" in str(data.unreadable.error)


@pytest.mark.parametrize("cache", [0, 1])
def test_no_readable_image_at_all_is_an_error(cache):
    data = image_data(EncodedSource([b"broken"] * 3), max_unreadable=9, cache_gigabytes=cache)
    with pytest.raises(tf.errors.OpError, match="none of its 3 images can be read"):
        take(data.train_batches(seed=0), 1)


def test_a_image_of_another_shape_than_promised_is_unreadable():
    images = [encode(gradient(12, 14)), encode(gradient(14, 12))]
    source = EncodedSource(images, image_shape=(12, 14, 3))
    data = image_data(source, augmentation={"random_resized_crop": 0.5}, max_unreadable=1)
    assert take(data.train_batches(seed=0), 2)[0]["index"].tolist() == [0] * 4
    assert "shape (14, 12, 3)" in next(iter(data.unreadable.reasons.values()))


def test_sizes_may_differ_between_training_and_the_files():
    data = image_data(
        array_source(7, shape=(12, 20)), array_source(5, shape=(9, 9)), augmentation={"random_resized_crop": 0.5}
    )
    for dataset in (data.train_batches(seed=0), data.evaluation_batches("validation")):
        check_batch(take(dataset, 1)[0], image_shape=(*SIZE, 3), num_classes=3)


def test_errors_name_the_rule():
    with pytest.raises(ValueError, match="num_classes must be the 3 classes of set. Received: 4"):
        ImageData(
            name="set",
            options=ImageOptions(image_size=SIZE),
            train=array_source(3),
            validation=array_source(3),
            num_classes=4,
        )
    other = ArraySource(images=np.zeros((2, 4, 4, 3), np.uint8), labels=[0, 1], class_names=("a", "x"))
    with pytest.raises(ValueError, match="'validation' differs"):
        image_data(array_source(3), other)
    empty = ArraySource(images=np.zeros((0, 4, 4, 3), np.uint8), labels=[], class_names=CLASSES)
    with pytest.raises(ValueError, match="at least one example"):
        image_data(array_source(3), empty)
    data = image_data(array_source(3))
    with pytest.raises(ValueError, match=r"split must be one of \('train', 'validation'\) of set. Received: 'test'"):
        data.evaluation_batches("test")
    with pytest.raises(ValueError, match="start_position must be >= 0"):
        data.train_batches(seed=0, start_position=-1)
    with pytest.raises(IndexError, match=r"\[0, 3\). Received: 3"):
        data.train[3]


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"image_size": (0, 4)}, r"expected .*pair of them. Received: image_size=\(0, 4\)"),
        ({"image_size": (4, 5, 6)}, r"expected .*Received: image_size=\(4, 5, 6\)"),
        ({"channels": 4}, "expected 1 or 3.*Received: channels=4"),
        ({"resize": "fit"}, "expected 'crop', 'pad' or 'stretch'. Received: resize='fit'"),
        ({"evaluation_crop": 0}, "expected a number greater than 0. Received: evaluation_crop=0"),
        ({"cache_gigabytes": -1}, "expected .*Received: cache_gigabytes=-1"),
        ({"max_unreadable": -1}, "expected zero or more. Received: max_unreadable=-1"),
        ({"batch_size": 0}, "expected a positive integer. Received: batch_size=0"),
        ({"class_weights": "yes"}, "expected 'balanced'.*Received: class_weights='yes'"),
        ({"augmentation": {"padded_crop": 6}}, "padded_crop must be smaller.*Received"),
        ({"augmentation": {"repeats": 3}}, "batch_size must be a multiple of 3.*Received"),
        (
            {"augmentation": {"repeats": 3, "mixup": 0.8}, "batch_size": 9},
            "must be a multiple of 6.*Received: 9",
        ),
        (
            {"augmentation": {"three_augment": True, "randaugment_operations": 2}},
            "place of RandAugment.*Received",
        ),
    ],
)
def test_wrong_options_are_named(wrong, rule):
    with pytest.raises(ValueError, match=rule):
        ImageOptions(**({"image_size": SIZE} | wrong))


def test_class_weights():
    assert image_data(array_source(4)).class_weights is None
    np.testing.assert_allclose(image_data(array_source(4), class_weights="balanced").class_weights, [0.6, 1.2, 1.2])


def test_one_number_is_a_square():
    assert ImageOptions(image_size=8).image_shape == (8, 8, 3)


def test_large_images_are_refused(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 50)
    data = image_data(EncodedSource([encode(gradient(9, 9))]), max_unreadable=0)
    with pytest.raises((TooManyUnreadable, tf.errors.OpError), match="the limit is 50 pixels"):
        take(data.train_batches(seed=0), 1)


def test_beyond_the_limit_every_read_gives_the_same_reason():
    """Batches are read by several threads: whichever comes second must not say less than the first."""
    data = image_data(EncodedSource([b"no image"]), max_unreadable=0)
    reader = data._training_reader(seed=0)
    for _ in range(2):
        with pytest.raises(TooManyUnreadable, match="train/0"):
            reader.read(np.array([0]), substitute=True)
