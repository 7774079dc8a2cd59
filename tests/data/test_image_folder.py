import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.images import encode, gradient, write_folder
from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.sources import image_rules as rules
from vitcross.data.sources.copies import equal_files
from vitcross.data.sources.image_folder import ImageFolderSource, list_image_folder


def names(pairs):
    return [path.rsplit("/", 2)[1] + "/" + path.rsplit("/", 2)[2] for path, _ in pairs]


def test_classes_are_the_sorted_folders_and_every_image_is_used_once(tmp_path):
    listing = list_image_folder(write_folder(tmp_path, {"dog": 20, "cat": 7, "Ant": 3}), validation_share=0.2)
    assert listing.class_names == ("Ant", "cat", "dog")
    train, validation = listing.splits["train"], listing.splits["validation"]
    assert len(set(names(train)) | set(names(validation))) == len(train) + len(validation) == 30
    assert np.bincount([label for _, label in validation]).tolist() == [1, 1, 4]
    assert "test" not in listing.splits


def test_the_cut_depends_on_seed_and_names_alone(tmp_path):
    root = write_folder(tmp_path / "one", {"cat": 19, "dog": 17})
    cut = names(list_image_folder(root).splits["validation"])
    assert cut == names(list_image_folder(root).splits["validation"])
    assert cut == names(list_image_folder(write_folder(tmp_path / "two", {"cat": 19, "dog": 17})).splits["validation"])
    assert cut != names(list_image_folder(root, split_seed=1).splits["validation"])


def test_validation_and_test_are_shares_of_the_whole_class(tmp_path):
    listing = list_image_folder(write_folder(tmp_path, {"a": 20, "b": 40}), validation_share=0.25, test_share=0.25)
    counts = {split: np.bincount([label for _, label in pairs]).tolist() for split, pairs in listing.splits.items()}
    assert counts == {"train": [10, 20], "validation": [5, 10], "test": [5, 10]}


def test_a_class_with_one_image_keeps_it_for_training(tmp_path):
    splits = list_image_folder(write_folder(tmp_path, {"a": 1, "b": 2}), validation_share=0.9).splits
    assert (
        names(splits["train"]) == ["a/000.png", "b/" + names(splits["train"])[1][2:]] and len(splits["validation"]) == 1
    )


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "validation", "test"),
        ("Train", "VAL", "Testing"),
        ("training", "valid", "TEST"),
        ("TRAIN", "dev", "test"),
    ],
)
def test_folders_of_their_own(tmp_path, train, validation, test, empty):
    write_folder(tmp_path / train, {"a": 3, "b": 2})
    write_folder(tmp_path / validation, {"b": 2})
    write_folder(tmp_path / test, {"a": 1, "b": 1})
    if empty:
        (tmp_path / validation / "a").mkdir()
    listing = list_image_folder(tmp_path)
    assert {split: len(pairs) for split, pairs in listing.splits.items()} == {"train": 5, "validation": 2, "test": 2}
    assert [label for _, label in listing.splits["validation"]] == [1, 1]
    assert listing.notes == [f"note        {validation} has no image of 1 of 2 classes: a"]  # empty or not there


def test_a_training_folder_alone_is_cut(tmp_path):
    write_folder(tmp_path / "train", {"a": 10, "b": 10})
    assert {split: len(pairs) for split, pairs in list_image_folder(tmp_path).splits.items()} == {
        "train": 18,
        "validation": 2,
    }


def test_what_is_no_image_is_left_out(tmp_path):
    root = write_folder(tmp_path, {"a": 2, "b": 2, ".cache": 1})
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / ".hidden.png").write_bytes(b"x")
    (root / "readme.md").write_text("x")
    (root / "b" / "deeper").mkdir()
    (root / "b" / "deeper" / "UPPER.JPG").write_bytes(encode(gradient(5, 5), "JPEG"))
    (root / "lone.jpg").write_bytes(encode(gradient(5, 5), "JPEG"))
    listing = list_image_folder(root)
    assert listing.class_names == ("a", "b") and sum(map(len, listing.splits.values())) == 5
    assert listing.notes == [
        "left out    1 x .txt (a/notes.txt)",
        "left out    1 x folder .cache (.cache)",
        "left out    1 x hidden file (a/.hidden.png)",
        "left out    1 x image beside the folders of the classes (lone.jpg)",
    ]


def test_what_looks_wrong_is_told(tmp_path):
    root = write_folder(tmp_path / "one", {"Dog": 2, "dog": 2, "thumbs": 2, "val_images": 2, "test tube": 2})
    assert list_image_folder(root).notes == [
        "note        taken for a class, though it looks like a split: val_images",
        "note        taken for a class, though it may hold small copies of others: thumbs",
        "note        classes that differ in upper and lower case only: Dog, dog",
    ]
    root = tmp_path / "two"
    write_folder(root / "train", {"a": 2, "b": 2})
    write_folder(root / "holdout", {"a": 2, "b": 2})
    write_folder(root, {"test": 3})  # images without classes
    assert list_image_folder(root).notes == [
        "left out    1 x folder beside those of the splits (holdout)",
        "left out    1 x folder of a split without folders of the classes (test)",
    ]
    assert list_image_folder(write_folder(tmp_path / "three", {"bus": 2, "train": 2})).class_names == ("bus", "train")


def test_forms_of_a_class_name_are_one(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    write_folder(tmp_path / "train", {composed: 2, decomposed: 2, "bar": 2})
    write_folder(tmp_path / "val", {decomposed: 1, "bar": 1})
    listing = list_image_folder(tmp_path)
    assert listing.class_names == ("bar", composed)
    assert [label for _, label in listing.splits["train"]] == [0, 0, 1, 1, 1, 1] and not listing.notes


def test_links_do_not_mix_classes_or_splits(tmp_path):
    root = write_folder(tmp_path / "all", {"cat": 6, "dog": 6})
    before = list_image_folder(root).splits
    (root / "cat" / "up").symlink_to("..")
    (root / "again").symlink_to(".")
    (root / "kitty").symlink_to("cat")
    listing = list_image_folder(root)
    assert listing.class_names == ("cat", "dog") and listing.splits == before
    assert listing.notes == [f"left out    3 x {rules.FOLDER_LINK} (again, cat/up, kitty)"]
    write_folder(tmp_path / "two" / "train", {"a": 3, "b": 2})
    (tmp_path / "two" / "val").symlink_to("train")
    with pytest.raises(ValueError, match="two/val must hold images .* none; left out: 2 x link to a folder"):
        list_image_folder(tmp_path / "two")


def test_copies_are_told(tmp_path, caplog):
    write_folder(tmp_path / "train", {"a": 3, "b": 3, "c": 2})
    write_folder(tmp_path / "val", {"a": 1, "b": 1, "c": 1})  # the first image of each class of training

    def told(**arguments):
        caplog.clear()
        load.image_folder(root=str(tmp_path), image_size=[5, 5], **arguments)
        return caplog.messages

    (tmp_path / "val" / "b" / "000.png").write_bytes((tmp_path / "train" / "c" / "001.png").read_bytes())
    (tmp_path / "train" / "b" / "empty.png").touch()
    (tmp_path / "train" / "c" / "empty.png").touch()
    split = (
        "copies      3 of validation in train too "
        "(val/a/000.png = train/a/000.png, val/c/000.png = train/c/000.png, val/b/000.png = train/c/001.png)"
    )
    assert told() == [split, "copies      1 under two classes (val/b/000.png = train/c/001.png: b and c)"]
    assert told(find_copies=0) == []
    assert told(find_copies=11) == ["copies      not looked for: 13 images, data.find_copies=11"]


@given(st.lists(st.sampled_from([b"", b"x", b"y", b"x" * 9000, b"x" * 4500 + b"y" + b"x" * 4499]), max_size=9))
def test_equal_files_are_those_with_the_same_bytes(contents):
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / str(k) for k in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        wanted = [[k for k, other in enumerate(contents) if other == content] for content in contents]
        groups = {tuple(group) for group in wanted if len(group) > 1 and contents[group[0]]}
        assert equal_files([*paths, "nowhere"]) == [list(group) for group in sorted(groups)]


def test_errors_name_rule_and_folder(tmp_path):
    def refused(match, root=tmp_path, **arguments):
        with pytest.raises(ValueError, match=match):
            list_image_folder(root, **arguments)

    refused("must name the folder .* Received: null", root=None)
    refused("must be an existing folder. Received: .*/nowhere", root=tmp_path / "nowhere")
    refused("at least two folders, one per class. Received: none")
    (tmp_path / "loose.png").write_bytes(encode(gradient(5, 5)))
    refused("are in no subfolder")
    write_folder(tmp_path, {"only": 2})
    refused(r"Received: \['only'\]")
    (tmp_path / "empty").mkdir()
    refused("at least one image to train on. Received without any: empty$")
    (tmp_path / "empty" / "phone.heic").write_bytes(b"x")
    refused(r"without any: empty; left out: 1 x \.heic, which Pillow cannot decode \(empty/phone\.heic\)")
    refused("validation_share must be in", validation_share=1.0)
    refused("sum below 1", validation_share=0.6, test_share=0.5)
    write_folder(tmp_path / "split" / "train", {"a": 2, "b": 2})
    write_folder(tmp_path / "split" / "val", {"a": 2, "z": 2})
    refused(r"same classes .* Received also: \['z'\]", root=tmp_path / "split")
    write_folder(tmp_path / "none" / "train", {"a": 2, "b": 2})
    (tmp_path / "none" / "val" / "a").mkdir(parents=True)
    refused("none/val must hold images .* Received: none", root=tmp_path / "none")
    write_folder(tmp_path / "wrapped" / "pets", {"a": 2, "b": 2})
    refused("one level deeper: data.root=.*/wrapped/pets", root=tmp_path / "wrapped")
    write_folder(tmp_path / "flat", {"train_images": 2, "holdout": 2})
    refused("look like splits: holdout, train_images", root=tmp_path / "flat")


def test_listing_and_preprocessing_import_no_tensorflow(tmp_path):
    write_folder(tmp_path, {"a": 2, "b": 2})
    code = (
        "import sys; from vitcross.data import load, image_data, preprocess, scenes\n"
        "from vitcross.data.sources.image_folder import list_image_folder\n"
        f"print(len(list_image_folder({str(tmp_path)!r}).class_names))\n"
        "print(sorted({'tensorflow', 'keras', 'tensorflow_datasets', 'hydra', 'omegaconf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "[]"]


def test_a_folder_of_awkward_images_becomes_batches(tmp_path):
    root = write_folder(tmp_path, {"a": 5, "b": 9}, size=(30, 20))
    (root / "a" / "cmyk.jpg").write_bytes(encode(Image.fromarray(gradient(64, 50)).convert("CMYK"), "JPEG"))
    (root / "a" / "deep.png").write_bytes(encode(np.full((9, 9), 40000, np.uint16)))
    (root / "b" / "broken.jpg").write_bytes(encode(gradient(64, 50), "JPEG")[:300])
    (root / "b" / "zero.png").touch()
    data = load.image_folder(
        root=str(root),
        image_size=[16, 12],
        validation_share=0.3,
        batch_size=5,
        max_unreadable=2,
        class_weights="balanced",
        augmentation={"flip": True, "random_resized_crop": 0.3},
    )
    assert (data.num_classes, data.image_shape, data.name) == (2, (16, 12, 3), root.name)
    assert data.class_weights[0] > data.class_weights[1]
    for batch in data.train_batches(seed=0).take(5).as_numpy_iterator():
        check_batch(batch, image_shape=(16, 12, 3), num_classes=2)
    counted = sum(int(batch["valid"].sum()) for batch in data.evaluation_batches("validation").as_numpy_iterator())
    counted += sum(int(batch["valid"].sum()) for batch in data.evaluation_batches("train").as_numpy_iterator())
    assert counted == 16
    assert {name.rsplit("/", 1)[1] for name in data.unreadable.reasons} == {"broken.jpg", "zero.png"}


def test_a_source_knows_its_labels_without_reading_a_file(tmp_path):
    listing = list_image_folder(write_folder(tmp_path, {"a": 4, "b": 3}))
    source = ImageFolderSource(listing=listing, split="train", channels=1)
    assert source.labels().tolist() == [0, 0, 0, 1, 1]
    assert source[0]["image"].shape == (13, 11, 1) and source.example_name(0).endswith(".png")


def test_the_size_must_be_known(tmp_path):
    with pytest.raises(ValueError, match="image_size must be given"):
        load.image_folder(root=write_folder(tmp_path, {"a": 2, "b": 2}), image_size=None)


def test_what_lies_beside_the_splits_is_told_and_single_images_are_no_validation(tmp_path):
    write_folder(tmp_path / "train", {"a": 3, "b": 2})
    (tmp_path / "stray.PNG").write_bytes(b"")
    notes = "\n".join(list_image_folder(tmp_path).notes)
    assert "1 x image beside the folders of the classes (stray.PNG)" in notes
    with pytest.raises(ValueError, match="two images, so that one can be split off for validation"):
        list_image_folder(write_folder(tmp_path / "few", {"a": 1, "b": 1}))
