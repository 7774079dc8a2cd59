"""The place of a run's data may change, and its contents are held against what the run saw."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vitcross.config.compatibility import ConfigError
from vitcross.data.sources.image_folder import ImageFolderSource, list_image_folder
from vitcross.data.sources.pair_source import Pair, PairSource
from vitcross.data.sources.source import Source
from vitcross.experiment import data_contents


class Numbers(Source):
    """Images of one value each."""

    def __init__(self, values, labels, class_names=("a", "b")):
        super().__init__(name="numbers", class_names=class_names, channels=1)
        self.values, self.given = values, labels

    def __len__(self):
        return len(self.values)

    def record(self, index):
        return {"image": np.full((2, 3, 1), self.values[index], np.uint8), "label": self.given[index]}


class Data:
    """What `describe` reads of `ImageData`."""

    def __init__(self, **splits):
        self.splits, self.source = tuple(splits), splits.get
        self.class_names = splits["train"].class_names


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for name, count in (("cat", 7), ("dog", 5)):
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new("L", (5 + k, 3), k).save(root / name / f"{name}{k}.png")
    return root


def of_folder(root):
    listing = list_image_folder(root)
    return Data(**{split: ImageFolderSource(listing=listing, split=split) for split in listing.splits})


def test_a_fingerprint_tells_every_difference_and_no_place(photos, tmp_path):
    first = data_contents.describe(of_folder(photos))
    shutil.move(photos, tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere"
    assert data_contents.describe(of_folder(moved)) == first
    Image.new("L", (50, 30), 9).save(moved / "cat" / "cat3.png")
    assert data_contents.describe(of_folder(moved)) != first

    base = Numbers([1, 2, 3], [0, 1, 1])
    others = [Numbers([1, 2, 4], [0, 1, 1]), Numbers([1, 2, 3], [0, 1, 0]), Numbers([1, 3, 2], [0, 1, 1])]
    others += [Numbers([1, 2], [0, 1]), Numbers([1, 2, 3], [0, 1, 1], ("a", "c")), Numbers([1, 2, 3], [(0,), (1,), ()])]
    assert len({source.fingerprint() for source in [base, Numbers([1, 2, 3], [0, 1, 1]), *others]}) == 1 + len(others)

    texts = [["a cat", "a dog"], ["a cat", "a dog"], ["a cat", "a cow"]]
    pairs = [PairSource(name="p", images=base, pairs=[Pair(k, text) for k, text in enumerate(two)]) for two in texts]
    first, same, other = (source.fingerprint() for source in pairs)
    assert first == same != other


def test_other_contents_are_refused_or_said_and_other_classes_always_refused(tmp_path, capsys):
    before = Data(train=Numbers([1, 2, 3], [0, 1, 1]), validation=Numbers([4], [0]))
    data_contents.keep(tmp_path, data_contents.check(tmp_path, before))
    assert data_contents.check(tmp_path, before) == json.loads((tmp_path / "data.json").read_text())

    now = Data(train=Numbers([1, 2, 3, 5], [0, 1, 1, 0]), validation=Numbers([7], [0]), test=Numbers([8], [1]))
    lines = ["test: there was none", "train: 3 examples -> 4", "validation: 1 examples as before, but other names"]
    with pytest.raises(data_contents.OtherDataError, match="allow_changes=true") as refused:
        data_contents.check(tmp_path, now)
    assert all(line in str(refused.value) for line in lines) and refused.value.exit_status == 2
    assert data_contents.check(tmp_path, now, allow_changes=True) == data_contents.describe(now)
    assert all(f"changed     data: {line}" in capsys.readouterr().out for line in lines[:1])
    data_contents.compare(tmp_path, now, "train", ["a", "b"])
    assert capsys.readouterr().out == "data        not what the run saw: train: 3 examples -> 4\n"

    other = Data(train=Numbers([1, 2, 3], [0, 1, 1], ("a", "c")))
    for refuse in (
        lambda: data_contents.check(tmp_path, other, allow_changes=True),
        lambda: data_contents.compare(tmp_path, other, "train", ["a", "b"]),
    ):
        with pytest.raises(data_contents.OtherDataError, match="classes: without b; new c"):
            refuse()


def test_an_evaluation_takes_the_places_that_its_data_has():
    data = {"root": "/old", "data_dir": None, "num_classes": 2}
    typed = {"root": "/new", "file": None, "data_dir": None}
    assert data_contents.with_places(data, typed)["root"] == "/new"
    with pytest.raises(
        ConfigError, match="has no key 'file'; its place is data.root, data.data_dir. Received: data.fi"
    ):
        data_contents.with_places(data, typed | {"file": "x.csv"})
