"""What is typed for a key of text or a path reaches the configuration literally."""

from pathlib import Path

import pytest

from vitcross.config import compose
from vitcross.config.typed_text import quote

TEXTS = [
    "My Photos (2024), best=yes [a]/Ünïcode 50% $5",
    "写真/κ",
    "a, b=c/*.jpg",
    'quo"te',
    "back\\slash",
    "end\\",
    'mixed\\"x',
    "$x{y}",
    "[1]",
    "{a: b}",
    "(open",
    "Bob's",
    "1e3",
    "true",
    "NaN",
    "runs/a-1.5e3",
    "choice(a,b)",
    " space ",
]


def read(key, value, script="train"):
    """What the configuration holds where `key=value` is typed."""
    return compose.typed_value([quote(f"{key}={value}", script)], key)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("script", "key"),
    [
        ("train", "data.root"), ("train", "data.file"), ("train", "init_from"), ("train", "hydra.run.dir"),
        ("train", "data.name"), ("train", "sinks.wandb.name"),
        ("evaluate", "run"), ("evaluate", "images"), ("evaluate", "text"), ("evaluate", "sinks.wandb.group"),
    ],
)  # fmt: skip
def test_free_text_is_taken_literally(script, key, text):
    assert read(key, text, script) == text
    assert read(key, f'"{text}"' if '"' not in text and not text.endswith("\\") else text, script) == text


def test_null_is_null_and_an_interpolation_remains_one():
    assert read("init_from", "null") is None
    composed, _ = compose.check_arguments("train", ["seed=7", quote("sinks.wandb.name=Süd, ${seed}", "train")])
    assert composed["sinks"]["wandb"]["name"] == "Süd, 7"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("[]", []),
        ("[baseline,224px]", ["baseline", "224px"]),
        ("[first try, größe,'x, y',\"a]b\"]", ["first try", "größe", "x, y", "a]b"]),
        ("[2024,a (b, c)]", ["2024", "a (b, c)"]),
        ("baseline", "baseline"),
    ],
)
def test_a_list_of_texts_remains_a_list(typed, value):
    assert read("sinks.wandb.tags", typed) == value


@pytest.mark.parametrize("typed", ["seed=1", "model.patch_size=[4,8]", "data=scenes", "optimizer.warmup=0.5", "--help"])
def test_other_keys_are_left_to_hydra(typed):
    assert quote(typed, "train") == typed


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("data.name=mnist, größe", ["mnist", '"größe"']),
        ("data.name='a, b',c", ["'a, b'", "c"]),
        ("data.name=choice(mnist,cifar10)", ["mnist", "cifar10"]),
        ("data.root=/x (1, 2)/a,/y", ['"/x (1, 2)/a"', "/y"]),
        ("sinks.wandb.tags=[a b],[c,d]", ["['a b']", "[c,d]"]),
        ("model.depth=1,2", ["1", "2"]),
    ],
)
def test_with_m_a_comma_separates_values_of_texts_too(typed, values):
    key = typed.partition("=")[0]
    overrides = [quote(text, "train", sweep=True) for text in ("data=tfds", typed)]
    found = compose.read_sweep(overrides).space[key].texts if typed.startswith("model") else space(overrides, key)
    assert [text.replace("'", '"') for text in found] == [text.replace("'", '"') for text in values]


def space(overrides, key):
    return compose._space(overrides)[key].texts


def test_with_m_a_path_that_exists_is_one_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a, b").mkdir()
    assert quote("data.root=a, b", "train", sweep=True) == 'data.root="a, b"'
    assert quote("data.root=a, c", "train", sweep=True) == "data.root=a,c"
    assert quote("hydra.sweep.dir=a, c", "train", sweep=True) == 'hydra.sweep.dir="a, c"'


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("data.pfad=My (x), ü", "there is no key 'data.pfad'"),
        ("data=~/My (x)", "has no option|data=image_folder"),
        ("model.depth=zwölf", "model.depth=zwölf cannot be read as key=value"),
    ],
)
def test_a_strange_text_behind_a_wrong_key_is_a_wrong_key(typed, message):
    with pytest.raises(compose.ConfigError, match=message):
        compose.check_arguments("train", [quote(typed, "train")])


def test_paths_of_a_configuration_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    overrides = ["data=image_folder", "data.root=photos/../a, b", "init_from=~/run"]
    composed, _ = compose.check_arguments("train", [quote(text, "train") for text in overrides])
    assert composed["data"]["root"] == str(tmp_path / "a, b")
    assert composed["init_from"] == str(tmp_path / "home" / "run")
    composed, _ = compose.check_arguments("train", [quote("data.data_dir=gs://bucket/x", "train")])
    assert composed["data"]["data_dir"] == "gs://bucket/x"
    overrides = ["run=~/run", "images=in/[2024] trip/*.jpg"]
    settings, _ = compose.check_arguments("evaluate", [quote(text, "evaluate") for text in overrides])
    assert settings["run"] == str(tmp_path / "home" / "run")
    assert settings["images"] == "in/[2024] trip/*.jpg"  # may be a list of paths, which are read one by one
    with pytest.raises(compose.ConfigError, match="data.root: a path must not be empty"):
        compose.check_arguments("train", ["data=image_folder", "data.root="])


def test_the_name_of_a_data_set_that_is_a_path_becomes_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    for name, root in {"pets": "pets", "./new": "new", "sets/a.parquet": "sets/a.parquet", "org/pets": None}.items():
        data = compose.check_arguments("train", ["data=huggingface", f"data.name={name}"])[0]["data"]
        expected = (name, None) if root is None else (None, str(tmp_path / root))
        assert (data["name"], data["root"]) == expected
    data = compose.check_arguments("train", ["data=huggingface", "data.name=pets", "data.root=b"])[0]["data"]
    assert (data["name"], data["root"]) == ("pets", str(tmp_path / "b"))
