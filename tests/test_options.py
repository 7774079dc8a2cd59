"""Options have one owner: what a class of `vitcross.options` declares reaches whoever uses it, unnamed on the way."""

import dataclasses
import re
from pathlib import Path
from typing import Literal

import pytest

from vitcross.config import compose
from vitcross.models import TextTransformer, VisionTransformer
from vitcross.options.block import BlockOptions
from vitcross.options.data import ImageOptions, PairsOptions
from vitcross.options.fields import Count, Share, Size, names, options

ROOT = Path(compose.__file__).parents[1]
# A value of each option of a block that is not its default.
OTHER = {
    "num_heads": 3,
    "qkv_bias": False,
    "qk_norm": True,
    "attention_dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-5,
    "mlp_ratio": 2.0,
    "gelu": "tanh",
    "dropout_rate": 0.2,
    "drop_path_rate": 0.3,
    "layer_scale_init": 0.1,
}
TOWERS = {
    "image": lambda **given: VisionTransformer(
        num_classes=None, image_size=8, patch_size=4, embed_dim=15, depth=2, pooling="map", **given
    ),
    "text": lambda **given: TextTransformer(
        vocabulary_size=7, max_length=5, embed_dim=15, depth=2, pooling="map", **given
    ),
}


@pytest.mark.parametrize("tower", TOWERS)
def test_each_option_of_a_block_reaches_the_blocks_of_every_tower(tower):
    assert set(OTHER) == set(names(BlockOptions))
    model = TOWERS[tower](**OTHER)
    block = model.encoder.blocks[-1]
    assert {name: getattr(block.options, name) for name in OTHER} == OTHER
    assert block.self_attention.options.attention_dropout_rate == 0.1
    pooling = dataclasses.asdict(model.attention_pooling.options)
    assert pooling == {name: OTHER[name] for name in pooling} | {"attention_dropout_rate": 0.0}
    assert {name: model.get_config()[name] for name in OTHER} == OTHER


@pytest.mark.parametrize("name", sorted(set(OTHER) - {"num_heads", "dropout_rate", "drop_path_rate"}))
def test_an_option_of_a_block_is_named_in_options_block_and_yaml_only(name):
    used = {"attention_dropout_rate", "layer_norm_epsilon"}  # set for the pooling; of the models' own last norm
    files = [ROOT / "layers/encoder.py", *(ROOT / "models").glob("*.py"), *(ROOT / "config").glob("*.py")]
    found = [path.name for path in files if re.search(rf"\b{name}\b", path.read_text())]
    assert not found or (name in used and set(found) <= {"vision_transformer.py", "text_transformer.py"})
    chosen = (compose.CONF / "model").rglob("*.yaml")
    assert [path.name for path in chosen if re.search(rf"^ *{name}:", path.read_text(), re.M)] == ["block.yaml"]


@options
class Example:
    count: Count
    size: Size = 3
    share: Share = 0.5
    kind: Literal["a", "b"] | None = None

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("count must not be 13. Received: 13")


@options
class Nested:
    example: Example
    more: Example = Example(count=1)


def test_options_are_kept_checked():
    assert Example(count=2, size=[3, 5]) == Example(count=2, size=(3, 5), share=0.5)
    assert Example(count=1, size=7).size == (7, 7)
    assert Nested(example={"count": 4}).example == Example(count=4)
    assert names(Nested) == ("example", "more")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example(count=1).count = 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "expected a positive integer. Received: count=0"),
        ({"count": True}, "expected a valid integer. Received: count=True"),
        ({}, "expected count. Received: none"),
        ({"count": 1, "share": 1}, "expected a number less than 1. Received: share=1"),
        ({"count": 1, "share": -0.5}, "expected zero or more. Received: share=-0.5"),
        ({"count": 1, "share": "0.5"}, "expected a valid number. Received: share='0.5'"),
        ({"count": 1, "kind": "c"}, "expected 'a' or 'b'. Received: kind='c'"),
        ({"count": 1, "size": (2, 0)}, r"expected an int > 0 or a (height, width) pair of them. Received: size=(2, 0)"),
        ({"count": 1, "shares": 0.1}, "there is no option 'shares'. Did you mean 'share'?"),
        ({"count": 13}, "count must not be 13. Received: 13"),
        ({"count": 0, "share": 2}, "expected a positive integer. Received: count=0\nexpected a number less than 1."),
    ],
)
def test_a_constructor_names_what_is_wrong(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
        Example(**given)
    assert type(caught.value) is ValueError


def test_a_constructor_names_what_is_wrong_inside():
    with pytest.raises(ValueError, match=r"^expected a positive integer. Received: example.count=0$"):
        Nested(example={"count": 0})
    with pytest.raises(ValueError, match=r"^there is no option 'augmentation.flop'."):
        ImageOptions(augmentation={"flop": True})


def test_paths_may_be_objects(tmp_path):
    assert PairsOptions(file=tmp_path / "pairs.csv").file == str(tmp_path / "pairs.csv")


def test_the_options_import_no_keras():
    for path in (ROOT / "options").glob("*.py"):
        assert not re.search(r"^ *(from|import) (keras|tensorflow|numpy)", path.read_text(), re.M)
