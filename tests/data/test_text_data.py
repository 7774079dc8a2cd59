"""Pairs through the pipeline: the contract, which text belongs to which image, baselines, unusable texts."""

import itertools

import numpy as np
import pytest

from tests.data.images import ArraySource, encode, gradient
from tests.data.test_pairs_file import NAMES, write
from vitcross.data import load
from vitcross.data.batch import check_batch, to_uint8
from vitcross.data.problems import TooManyUnreadable
from vitcross.data.sources.pair_source import Pair, PairSource
from vitcross.data.text_arrays import first_of_each_text
from vitcross.data.text_data import ImageTextData
from vitcross.data.tokenizer import Tokenizer
from vitcross.options.data import ImageOptions, TextOptions

SIZE = (6, 10)
TEXTS = [f"image {name}" for name in ("one", "two", "three", "four", "five", "six", "seven")]


def images(count, name="train"):
    """Every image is filled with its position, which is its label too."""
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, *SIZE, 3)).copy()
    return ArraySource(images=pixels, labels=range(count), class_names=map(str, range(count)), name=name)


def pair_source(name="train", count=7, texts_of_each=2):
    """Texts of an image name it: `image three, 1`."""
    pairs = [
        Pair(k, f"{TEXTS[k]}, {number}", label=str(k))
        for number in range(texts_of_each)
        for k in reversed(range(count))
    ]
    return PairSource(
        name=name, images=images(count, name), pairs=pairs, class_names=[str(k) for k in range(len(TEXTS))]
    )


def text_data(train=None, validation=None, *, baseline=None, max_text_length=9, texts_per_image=1, **options):
    train, validation = train or pair_source(), validation or pair_source("validation", 5, 3)
    return ImageTextData(
        name="set",
        options=ImageOptions(**({"image_size": SIZE, "batch_size": 5} | options)),
        texts=TextOptions(max_text_length=max_text_length, baseline=baseline, texts_per_image=texts_per_image),
        tokenizer=Tokenizer.train(TEXTS, vocabulary_size=300),
        train=train,
        validation=validation,
    )


def take(dataset, count=99):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def joined(batches, key):
    return np.concatenate([batch[key] for batch in batches])


def shown(batches):
    """The position of the image that each row shows."""
    return to_uint8(joined(batches, "images"))[:, 0, 0, 0]


def test_batches_keep_the_contract_and_belong_together():
    data = text_data()
    assert (len(data.train), len(data.validation)) == (14, 15)
    for split, batches in (
        ("train", take(data.train_batches(seed=1), 7)),
        *((s, take(data.evaluation_batches(s))) for s in ("train", "validation")),
    ):
        source = data.source(split)
        for batch in batches:
            check_batch(batch, image_shape=(*SIZE, 3), num_classes=7)
            assert batch["token_ids"].shape == (5, 9)
            for row in np.flatnonzero(batch["valid"]):
                index = int(batch["index"][row])
                image = source.pairs[index].image
                assert batch["image_id"][row] == batch["labels"][row] == image
                assert to_uint8(batch["images"])[row, 0, 0, 0] == image
                assert data.tokenizer.decode(batch["token_ids"][row]) == source.text(index)


def test_shapes_are_static():
    data = text_data()
    for dataset in (data.train_batches(seed=1), data.evaluation_batches("validation")):
        spec = dataset.element_spec
        assert spec["token_ids"].shape == spec["padding_mask"].shape == (5, 9)
        assert spec["text_id"].shape == spec["image_id"].shape == (5,) and "question_type" not in spec


def test_every_pass_visits_each_pair_once_and_evaluation_each_in_order():
    data = text_data(batch_size=7)
    indices = joined(take(data.train_batches(seed=3), 4), "index").reshape(2, 14)
    np.testing.assert_array_equal(np.sort(indices), [range(14)] * 2)
    batches = take(data.evaluation_batches("validation"))
    np.testing.assert_array_equal(joined(batches, "index")[joined(batches, "valid")], np.arange(15))


@pytest.mark.parametrize("baseline", [None, "blind", "shuffled"])
@pytest.mark.parametrize("cache", [0, 1])
def test_starting_at_a_position_equals_skipping_to_it(baseline, cache):
    data = text_data(baseline=baseline, cache_gigabytes=cache, augmentation={"flip": True, "padded_crop": 2})
    whole, late = take(data.train_batches(seed=9), 9), take(data.train_batches(seed=9, start_position=17), 4)
    for key in whole[0]:
        np.testing.assert_array_equal(joined(late, key), joined(whole, key)[17:37])


def test_examples_are_those_of_the_evaluation():
    data = text_data()
    batches = take(data.evaluation_batches("validation"))
    batch = data.examples("validation", [14, 0, 7])
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=7)
    for key in batch:
        np.testing.assert_array_equal(batch[key], joined(batches, key)[[14, 0, 7]])


def test_images_are_decoded_once_for_all_their_texts():
    data = text_data(cache_gigabytes=1)
    take(data.evaluation_batches("validation"))
    assert len(data._image_reader("validation")) == 5


def test_equal_texts_have_equal_numbers():
    pairs = [Pair(k % 3, text) for k, text in enumerate(["A star", "a  STAR", "A ring", "a star", "B"])]
    source = PairSource(name="x", images=images(3), pairs=pairs)
    text_id = text_data(source, source)._text_arrays["train"]["text_id"]
    assert (text_id[0] == text_id[1] == text_id[3]) and len(set(text_id.tolist())) == 3
    assert first_of_each_text(source, tokenizer=Tokenizer.train(TEXTS, vocabulary_size=300)) == [0, 2, 4]
    assert (source.labels() == -1).all()


def test_images_without_a_text_are_left_out():
    pairs = [Pair(k, f"text {k}") for k in (5, 2, 2)]
    source = PairSource(name="x", images=images(7), pairs=pairs)
    data = text_data(source, source, batch_size=3)
    batch = data.examples("train", [0, 1, 2])
    assert to_uint8(batch["images"])[:, 0, 0, 0].tolist() == [5, 2, 2]
    assert batch["image_id"].tolist() == [1, 0, 0] and len(data.train.images) == 2
    assert data.train.references(1) == ["text 2", "text 2"] and data.train.references(0) == ["text 5"]


@pytest.mark.parametrize("cache", [0, 1])
def test_an_unreadable_image_is_replaced_with_its_text(tmp_path, cache):
    rows = [{"image": name, "text": f"{k} of {name}"} for name in NAMES[:7] for k in range(2)]
    file = write(tmp_path, rows, images=NAMES[:7])
    for broken in NAMES[2:4]:
        (tmp_path / broken).write_bytes(b"no image")
    data = load.pairs(
        file=file, image_size=SIZE, batch_size=10, max_text_length=24, validation_share=0.15, max_unreadable=2,
        cache_gigabytes=cache,
    )  # fmt: skip
    for batch in take(data.train_batches(seed=0), 5):
        assert batch["valid"].all()
        for index, image_id, token_ids in zip(batch["index"], batch["image_id"], batch["token_ids"], strict=True):
            assert data.train.example_name(int(index)).rpartition("/")[2] not in NAMES[2:4]
            assert data.train.image_of(int(index)) == image_id
            assert data.tokenizer.decode(token_ids) == data.train.text(int(index)).lower()
    for split in data.splits:
        batches = take(data.evaluation_batches(split))
        for index in joined(batches, "index")[~joined(batches, "valid")]:
            name = data.source(split).example_name(int(index)).rpartition("/")[2]
            assert name in NAMES[2:4] or index == 0  # a row that fills up the batch


def test_missing_images_count_as_unreadable_ones(tmp_path, caplog):
    rows = [{"image": name, "text": name} for name in [*NAMES, "gone.png", "gone.png", "lost.png"]]
    file = write(tmp_path, rows, images=NAMES)
    data = load.pairs(file=file, image_size=SIZE, max_unreadable=2)
    assert len(data.train) + len(data.validation) == 13 and len(data.unreadable) == 2
    assert data.problems.names["missing image"] == [f"pairs.jsonl:{k}" for k in (14, 15, 16)]
    assert "missing image: 3 (lines 14 to 16)" in caplog.text
    skipped = [record.message for record in caplog.records if record.name == "vitcross.data.problems"]
    assert len(skipped) == 2 and all(text.startswith("Skipping an unreadable image") for text in skipped)
    with pytest.raises(TooManyUnreadable, match="2 images cannot be read, data.max_unreadable allows 1.*gone.png"):
        load.pairs(file=file, image_size=SIZE, max_unreadable=1)


def test_problems_are_named_once_in_the_log(tmp_path, caplog):
    rows = [{"image": name, "text": "a b c d e f g h i j" if k else "ab"} for k, name in enumerate(NAMES)]
    data = load.pairs(file=write(tmp_path, rows, images=NAMES), image_size=SIZE, max_text_length=5)
    cut = data.problems.names["text too long (cut)"]
    assert sorted(cut) == sorted(f"pairs.jsonl:{k}" for k in range(2, 14))
    (line,) = [record.message for record in caplog.records if "too long" in record.message]
    assert line == f"text too long (cut): 12 ({', '.join(cut[:5])} ...)"
    assert data._text_arrays["train"]["token_ids"].shape[1] == 5
    assert (data._text_arrays["train"]["token_ids"][:, -1] == 2).sum() >= 9


@pytest.mark.parametrize("cache", [0, 1])
def test_a_blind_model_sees_any_image_but_the_right_one(cache):
    data = text_data(baseline="blind", cache_gigabytes=cache, batch_size=14)
    batches = take(data.train_batches(seed=5), 40)
    own = joined(batches, "image_id")
    assert not (shown(batches) == own).any()
    pairs = np.unique(np.stack([own, shown(batches)]), axis=1, return_counts=True)
    assert pairs[0].shape == (2, 7 * 6)  # every other image, drawn anew at each position
    assert pairs[1].min() > 3 and pairs[1].max() < 40
    for split in ("train", "validation"):
        first, again = (take(data.evaluation_batches(split)) for _ in range(2))
        valid = joined(first, "valid")
        np.testing.assert_array_equal(shown(first), shown(again))
        own = joined(first, "image_id")[valid]
        assert not (shown(first)[valid] == own).any()
        assert len({*zip(own, shown(first)[valid], strict=True)}) == len(set(own))  # one for all texts of an image


def test_shuffled_pairs_are_wrong_in_training_only_and_always_the_same():
    data = text_data(baseline="shuffled", batch_size=14)
    batches = take(data.train_batches(seed=5), 5)
    own = joined(batches, "image_id")
    wrong = {*zip(own.tolist(), shown(batches).tolist(), strict=True)}
    assert len(wrong) == 7 and all(a != b for a, b in wrong) and len({b for _, b in wrong}) == 7
    other = take(data.train_batches(seed=6), 1)
    assert {*zip(joined(other, "image_id").tolist(), shown(other).tolist(), strict=True)} != wrong
    right = take(data.evaluation_batches("validation"))
    np.testing.assert_array_equal(shown(right), joined(right, "image_id"))


def test_answers_and_types_of_questions():
    def source(name, answers):
        pairs = [
            Pair(k, "How?", label=names[0], question_type="count" if k else "color", answers=names)
            for k, names in enumerate(answers)
        ]
        return PairSource(name=name, images=images(len(answers)), pairs=pairs, class_names=("no", "yes"))

    validation = source("validation", [("no",), ("perhaps", "yes"), ("yes",)])
    data = text_data(source("train", [("no",), ("yes",), ("yes", "no", "two")]), validation)
    assert data.question_types == ("color", "count") and data.num_classes == 2
    batch = data.examples("validation", [0, 1, 2])
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=2)
    assert batch["labels"].tolist() == [0, -1, 1] and batch["question_type"].tolist() == [0, 1, 1]
    assert batch["annotator_answers"].tolist() == [[0, -1, -1], [-1, 1, -1], [1, -1, -1]]
    references = data.references("validation")
    assert references.answers(1) == ("perhaps", "yes") and references.text(1) == "How?"
    assert references.scene(1) is None and references.question_types == data.question_types
    assert data.word_boxes("validation", 1) == [None] * len(data.words("validation", 1))


def test_evaluation_keeps_few_and_distinct_texts(tmp_path):
    rows = [
        {"image": name, "text": text, "split": split}
        for split, names in (("train", NAMES[:5]), ("val", NAMES[5:]))
        for k, name in enumerate(names)
        for text in (f"text {k}", f"TEXT {k // 2}")
    ]
    file = write(tmp_path, rows, images=NAMES)
    data = load.pairs(file=file, image_size=SIZE, distinct_texts=True, evaluation_examples=5)
    assert (len(data.train), len(data.validation)) == (10, 5)
    assert data.validation.texts() == [f"text {k}" for k in range(5)]
    assert len(data.validation.images) == 5
    assert len(load.pairs(file=file, image_size=SIZE, evaluation_examples=99).validation) == 16


def test_a_saved_tokenizer_is_used(tmp_path):
    file = write(tmp_path, [{"image": name, "text": name} for name in NAMES], images=NAMES)
    Tokenizer.train(["p00"], vocabulary_size=262).save(tmp_path / "tokenizer.json")
    data = load.pairs(file=file, image_size=SIZE, tokenizer=str(tmp_path / "tokenizer.json"))
    assert data.vocabulary_size == 262


def test_random_views_and_padding(tmp_path):
    file = write(tmp_path, [{"image": name, "text": name} for name in NAMES], images=NAMES)
    (tmp_path / NAMES[3]).write_bytes(encode(gradient(40, 23)))
    data = load.pairs(file=file, image_size=SIZE, batch_size=4, resize="pad", augmentation={"random_resized_crop": 0.4})
    for batch in (*take(data.train_batches(seed=0), 4), *take(data.evaluation_batches("validation"))):
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=0)


def test_errors_name_the_rule():
    with pytest.raises(ValueError, match="class_weights must be null for texts. Received: 'balanced'"):
        text_data(class_weights="balanced")
    with pytest.raises(ValueError, match="baseline needs at least two images.*blind with one in 'validation'"):
        text_data(validation=pair_source("validation", 1), baseline="blind")
    data = text_data()
    with pytest.raises(ValueError, match=r"split must be one of \('train', 'validation'\) of set. Received: 'unseen'"):
        data.evaluation_batches("unseen")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"tokenizer_kind": "words"}, "tokenizer_kind"),
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"max_text_length": 2}, "max_text_length"),
        ({"evaluation_examples": 0}, "evaluation_examples"),
        ({"baseline": "deaf"}, "baseline"),
    ],
)
def test_wrong_options_are_named(wrong, rule):
    with pytest.raises(ValueError, match=f"^expected .* Received: {rule}="):
        TextOptions(**wrong)


@pytest.mark.parametrize("texts_of_each", [2, 5])
def test_several_texts_of_a_image_stand_below_each_other(texts_of_each):
    data = text_data(pair_source(texts_of_each=texts_of_each), texts_per_image=3, batch_size=15)
    batches = take(data.train_batches(seed=1), 7)
    visited = shown(batches).reshape(5, 7)
    np.testing.assert_array_equal(np.sort(visited), [range(7)] * 5)  # every pass visits each image once
    for batch in batches:
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=7)
        assert batch["images"].shape[0] == 5 and batch["token_ids"].shape == (15, 9)
        np.testing.assert_array_equal(batch["image_id"], np.repeat(to_uint8(batch["images"])[:, 0, 0, 0], 3))
        for row, index in enumerate(batch["index"]):
            assert data.tokenizer.decode(batch["token_ids"][row]) == data.train.text(int(index))
        different = [len(set(rows)) for rows in batch["index"].reshape(5, 3)]
        assert different == [min(3, texts_of_each)] * 5
    # Which texts come first is drawn anew in every pass.
    first = {(int(b["image_id"][0]), int(b["index"][0])) for b in take(data.train_batches(seed=1), 99)}
    assert len(first) > 7


def test_several_texts_of_a_image_start_at_any_batch():
    data = text_data(texts_per_image=2, batch_size=6, augmentation={"flip": True})
    later = take(data.train_batches(seed=5), 6)[4:]
    again = take(data.train_batches(seed=5, start_position=24), 2)
    for one, other in zip(later, again, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_evaluation_has_one_text_of_each_image():
    data = text_data(texts_per_image=5, batch_size=5)
    assert all(len(batch["images"]) == len(batch["index"]) for batch in take(data.evaluation_batches("validation")))


def test_the_texts_of_a_image_must_fill_batches():
    with pytest.raises(ValueError, match="texts_per_image must divide batch_size.*texts_per_image=2, batch_size=5"):
        text_data(texts_per_image=2)
