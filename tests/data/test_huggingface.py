"""Data sets of Hugging Face's `datasets`: every local format, splits, columns, labels, and what cannot be read."""

import concurrent.futures
import sys

import datasets
import numpy as np
import pytest

from tests.data import huggingface_sets as sets
from tests.data.huggingface_sets import save, some_images
from tests.data.images import gradient
from vitcross.data import load
from vitcross.data.problems import TooManyUnreadable, UnreadableImage
from vitcross.data.sources.huggingface_columns import find_columns
from vitcross.data.sources.huggingface_splits import cut, instructions, split_expressions

SIZE = (12, 18)
pytestmark = pytest.mark.usefixtures("hugging_face_cache")


@pytest.fixture(scope="session")
def written(tmp_path_factory, hugging_face_cache):
    """dict of format to what `data.root` names."""
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in sets.FORMATS.items()}


@pytest.mark.parametrize("name", sets.FORMATS)
def test_every_format_gives_the_same_images_and_labels(written, name):
    more = {"validation_split": "train[8:]", "train_split": "train[:8]"} if name in sets.ONE_SPLIT else {}
    data = load.huggingface(root=written[name], image_size=SIZE, **more)
    start = {"train": 0, "validation": 8 if more else 0}
    assert [len(data.train), len(data.validation)] == ([8, 3] if more else [11, 5]) and data.splits == tuple(start)
    names = ("0", "1", "2") if name == "webdataset" else sets.CLASSES
    assert data.class_names == names and not data.multilabel
    for split, first in start.items():
        source, written_as = data.source(split), "train" if more else split
        assert source.labels().tolist() == [sets.label(first + k) for k in range(len(source))]
        for k in range(len(source)):
            example = source[k]
            np.testing.assert_array_equal(example["image"], sets.pixels(written_as, first + k))
            assert example["label"] == sets.label(first + k) and isinstance(example["label"], int)


@pytest.mark.parametrize("name", sets.FORMATS)
def test_every_format_gives_pairs_of_images_and_captions(written, name):
    data = load.huggingface_captions(root=written[name], image_size=SIZE, vocabulary_size=300)
    texts = {sets.caption(split, k): (split, k) for split, count in sets.COUNTS.items() for k in range(count)}
    seen = []
    for split in data.splits:
        source = data.source(split)
        for k in range(len(source)):
            seen.append(source.text(k))
            np.testing.assert_array_equal(source[k]["image"], sets.pixels(*texts[source.text(k)]))
            assert source.references(k) == [source.text(k)] and source.answers(k) == ()
            label = source.record(k)["label"]
            named = data.class_names[label] if data.class_names else None
            assert named in (None, sets.CLASSES[sets.label(texts[source.text(k)][1])])
    one = name in sets.ONE_SPLIT
    assert sorted(seen) == sorted(text for text, (split, _) in texts.items() if split == "train" or not one)
    assert bool(data.class_names) == (name in ("parquet", "saved", "arrow"))  # those whose classes have names


def test_a_name_may_be_a_path_and_a_root_a_pattern(written, monkeypatch, tmp_path):
    monkeypatch.chdir(written["parquet"])
    assert len(load.huggingface(name=".", image_size=SIZE).train) == 11
    assert len(load.huggingface(name="ORG/NAME", root="data/train-*.parquet", image_size=SIZE).train) < 11
    (tmp_path / "a [2], b=ü").mkdir()
    sets.dataset("train").to_parquet(tmp_path / "a [2], b=ü" / "x.parquet")
    assert len(load.huggingface(root=tmp_path / "a [2], b=ü" / "*.parquet", image_size=SIZE).train) < 11
    with pytest.raises(ValueError, match=r"a \[2\], b=ü cannot be opened: its path has one of"):
        load.huggingface(root=tmp_path / "a [2], b=ü", image_size=SIZE)
    with pytest.raises(ValueError, match=r"data.root must be an existing folder, file or pattern.*data/no\*"):
        load.huggingface(root="data/no*", image_size=SIZE)
    with pytest.raises(ValueError, match="files of one ending of .parquet"):
        load.huggingface(root=written["metadata_csv"] / "train" / "00.png", image_size=SIZE)


def test_expressions_of_splits_are_those_of_lists():
    sizes = {"train": 13, "val": 7}
    rows = [("train", k) for k in range(13)], [("val", k) for k in range(7)]

    def taken(expression):
        parts = instructions(expression, sizes, key="data.train_split")
        return [(split, k) for split, start, end in parts for k in range(start, end)]

    assert taken("train") == rows[0] and taken("train+val") == rows[0] + rows[1]
    assert taken("val[2:5]+train[-3:]") == rows[1][2:5] + rows[0][-3:]
    assert taken("train[:90%]") + taken("train[90%:]") == rows[0]
    with pytest.raises(ValueError, match=r"data.train_split must be one of train, val or .*'train\[:90%\]'.* tain"):
        taken("tain")


def test_usual_names_of_splits_are_found():
    none = dict.fromkeys(("train", "validation", "test"))
    for name in ("validation", "val", "valid", "dev"):
        expected = {"train": "train", "validation": name, "test": "test"}
        assert split_expressions(["test", name, "train"], typed=none) == expected
    assert split_expressions(["all"], typed=none) == {"train": "all"}
    assert split_expressions(["train", "x"], typed=none | {"validation": "x[:3]"})["validation"] == "x[:3]"
    with pytest.raises(ValueError, match="data.train_split must name one of a, b. Received: null"):
        split_expressions(["a", "b"], typed=none)


def test_the_share_of_each_class_is_cut_off_the_same_way_again():
    groups = np.random.default_rng(3).integers(0, 5, 1009)
    chosen = cut(groups, 0.1, seed=7)
    for k in range(5):
        assert chosen[groups == k].sum() == round(0.1 * (groups == k).sum())
    np.testing.assert_array_equal(chosen, cut(groups, 0.1, seed=7))
    assert (chosen != cut(groups, 0.1, seed=8)).any()
    longer = cut(np.concatenate([groups, groups[:50]]), 0.1, seed=7)
    assert (longer[:1009] != chosen).sum() < 30
    assert cut(np.array([0, 1, 1, 2]), 0.9, seed=0).tolist() in ([False, a, not a, False] for a in (True, False))


def value(kind):
    return datasets.Value(kind)


IMAGE, CLASS, TEXT = datasets.Image(), datasets.ClassLabel(names=["a", "b"]), value("string")
LIST = datasets.List(TEXT)


@pytest.mark.parametrize(
    ("reads", "features", "named", "expected"),
    [
        ("labels", {"img": IMAGE, "fine": CLASS}, {}, ("img", "fine", None, None)),
        ("labels", {"image": IMAGE, "mask": IMAGE, "label": CLASS, "x": CLASS}, {}, ("image", "label", None, None)),
        ("labels", {"a": IMAGE, "b": IMAGE, "y": value("int64")}, {"image": "b"}, ("b", "y", None, None)),
        ("several labels", {"image": value("binary"), "tags": LIST, "label": CLASS}, {}, ("image", "tags", None, None)),
        ("labels", {"image": value("binary"), "tags": LIST, "label": TEXT}, {}, ("image", "label", None, None)),
        ("labels", {"image": {"bytes": value("binary"), "path": TEXT}, "cls": TEXT}, {}, ("image", "cls", None, None)),
        ("labels", {"Image": TEXT, "Category": TEXT}, {}, ("Image", "Category", None, None)),
        ("captions", {"image": IMAGE, "blip": TEXT}, {}, ("image", None, "blip", None)),
        ("captions", {"jpg": IMAGE, "txt": TEXT, "__key__": TEXT, "c": CLASS}, {}, ("jpg", "c", "txt", None)),
        ("captions", {"image": TEXT, "captions": datasets.List(TEXT)}, {}, ("image", None, "captions", None)),
        ("questions", {"image": IMAGE, "question": TEXT, "answer": TEXT}, {}, ("image", None, "question", "answer")),
    ],
)
def test_columns_are_found_by_type_and_name(reads, features, named, expected):
    found = find_columns(datasets.Features(features), reads=reads, named=named)
    assert (found.image, found.label, found.text, found.answer) == expected


@pytest.mark.parametrize(
    ("reads", "features", "named", "message"),
    [
        (
            "labels",
            {"image": IMAGE, "label": CLASS},
            {"label": "labl"},
            "label_column must be one of the data: image .image",
        ),
        ("labels", {"image": IMAGE, "label": CLASS}, {"label": "image"}, "label_column must be able to hold the label"),
        (
            "labels",
            {"image": IMAGE, "f": CLASS, "c": CLASS},
            {},
            r"2 columns can hold the label.*f \(class\), c \(class\)",
        ),
        ("labels", {"image": IMAGE, "x": value("float32")}, {}, r"no column is known to hold the label.*x \(float32\)"),
        (
            "labels",
            {"image": IMAGE, "tags": LIST},
            {"label": "tags"},
            "must be able to hold the label.*task=multilabel",
        ),
        ("labels", {"label": CLASS}, {}, "data.image_column must name a column: no column is known"),
        ("captions", {"image": IMAGE, "a": TEXT, "b": TEXT}, {}, "data.text_column must name a column"),
        (
            "questions",
            {"image": IMAGE, "question": TEXT},
            {"answer": "x"},
            "data.answer_column must be one of the data",
        ),
    ],
)
def test_a_column_that_is_not_there_is_answered_with_those_that_are(reads, features, named, message):
    with pytest.raises(ValueError, match=message):
        find_columns(datasets.Features(features), reads=reads, named=named)


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (["b", "a", "c", "a"], ("a", "b", "c"), [1, 0, 2, 0]),
        ([30, 4, 4, 100], ("4", "30", "100"), [1, 0, 0, 2]),
        ([True, False, True, True], ("false", "true"), [1, 0, 1, 1]),
    ],
)
def test_labels_without_names_are_their_sorted_values(tmp_path, labels, names, numbers):
    save(tmp_path / "s", image=some_images(4), label=labels)
    data = load.huggingface(root=tmp_path / "s", image_size=SIZE, validation_split="train[:2]")
    assert data.class_names == names and data.train.labels().tolist() == numbers


def test_lists_of_labels_are_several_labels_of_an_image(tmp_path):
    features = {"tags": datasets.List(datasets.ClassLabel(names=["x", "y", "z"]))}
    rows = [[2, 0], [], [1], [1, 1, 2], [0], [2]]
    save(tmp_path / "s", features, image=some_images(6), tags=rows)
    save(tmp_path / "t", image=some_images(6), tags=[["xyz"[k] for k in row] for row in rows])
    for name in "st":
        data = load.huggingface(root=tmp_path / name, image_size=SIZE, validation_split="train[4:]", multilabel=True)
        assert data.multilabel and data.class_names == ("x", "y", "z")
        assert [data.train.record(k)["label"] for k in range(6)] == [tuple(sorted(set(row))) for row in rows]
        assert data.train.labels()[3].tolist() == [0, 1, 1] and data.validation.labels().tolist() == [
            [1, 0, 0],
            [0, 0, 1],
        ]
        batch = data.examples("train", [3, 1])
        assert batch["labels"].tolist() == [[0, 1, 1], [0, 0, 0]] and batch["labels"].dtype == np.float32


def test_rows_without_a_label_are_left_out_and_told(tmp_path, caplog):
    save(tmp_path / "s", image=some_images(5), label=["b", None, "a", "b", None])
    with caplog.at_level("INFO", "vitcross"):
        data = load.huggingface(root=tmp_path / "s", image_size=SIZE, validation_split="train[2:4]")
    assert data.train.labels().tolist() == [1, 0, 1] and data.validation.labels().tolist() == [0, 1]
    assert "s/train: 2 of 5 rows have no label and are left out" in caplog.text
    np.testing.assert_array_equal(data.train[1]["image"], gradient(13, 13, seed=2))
    assert data.train.example_name(1) == "s/train/2"
    save(tmp_path / "u", {"label": datasets.ClassLabel(names=["a", "b"])}, image=some_images(3), label=[-1, 0, 1])
    with pytest.raises(ValueError, match="data.validation_split must hold labels. Received: u with none in its 1 rows"):
        load.huggingface(root=tmp_path / "u", image_size=SIZE, validation_split="train[:1]")


def test_a_class_that_training_does_not_have_is_refused(tmp_path):
    save(tmp_path / "s", image=some_images(4), label=["a", "b", "c", "a"])
    with pytest.raises(ValueError, match="classes of the training split. Received also in label: c"):
        load.huggingface(root=tmp_path / "s", image_size=SIZE, train_split="train[:2]", validation_split="train[2:]")
    with pytest.raises(ValueError, match="label_column must hold at least two classes"):
        load.huggingface(root=tmp_path / "s", image_size=SIZE, train_split="train[:1]", validation_split="train[:1]")


def test_images_that_cannot_be_read_are_counted_and_named(tmp_path):
    images = [*some_images(3), b"no image", None, "gone.png"]
    save(tmp_path / "s", image=images, label=[0, 1, 0, 1, 0, 1])
    data = load.huggingface(root=tmp_path / "s", image_size=SIZE, validation_split="train[:2]", max_unreadable=3)
    assert data.examples("train", range(6))["valid"].tolist() == [True] * 3 + [False] * 3
    assert sorted(data.unreadable.reasons) == ["s/train/3", "s/train/4", "s/train/5 (gone.png)"]
    with pytest.raises(UnreadableImage, match="s/train/4: no image in this row"):
        data.train[4]
    data = load.huggingface(root=tmp_path / "s", image_size=SIZE, validation_split="train[:2]", max_unreadable=2)
    with pytest.raises(TooManyUnreadable):
        data.examples("train", range(6))


def test_equal_images_in_two_splits_or_classes_are_named(tmp_path, caplog):
    images = some_images(6)
    images[3], images[5] = images[0], images[1]
    save(tmp_path / "s", image=images, label=["a", "b", "a", "a", "b", "a"])
    splits = {"train_split": "train[:3]", "validation_split": "train[3:]"}
    data = load.huggingface(root=tmp_path / "s", image_size=SIZE, **splits)
    assert [len(data.train), len(data.validation)] == [3, 3]
    assert "2 of validation in train too (s/validation/0 = s/train/0, s/validation/2 = s/train/1)" in caplog.text
    assert "1 under two classes (s/validation/2 = s/train/1: a and b)" in caplog.text
    load.huggingface(root=tmp_path / "s", image_size=SIZE, find_copies=5, **splits)
    assert "not looked for: 6 images, data.find_copies=5" in caplog.text


def test_addresses_are_not_fetched(tmp_path):
    sets.write_rows(tmp_path / "t.csv", [{"image": f"http://127.0.0.1:9/{k}.png", "label": k} for k in range(4)])
    with pytest.raises(ValueError, match="none are fetched from addresses. Received: image with http://127.0.0.1:9/0"):
        load.huggingface(root=tmp_path / "t.csv", image_size=SIZE)


def test_many_threads_read_what_one_reads(written):
    source = load.huggingface(root=written["parquet"], image_size=SIZE).train
    expected = [source[k]["image"].tobytes() for k in range(len(source))]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: source[k % len(source)]["image"].tobytes(), range(40 * len(source))))
    assert found == expected * 40


def test_the_package_may_be_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"data=huggingface needs the package datasets: pip install 'vitcross\[hugg"):
        load.huggingface(root=tmp_path, image_size=SIZE)
