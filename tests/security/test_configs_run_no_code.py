"""A configuration, typed or of a stranger's run folder, runs nothing but the constructors that it may name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vitcross.command_line import evaluate, train
from vitcross.config import compose
from vitcross.config.allowed_hydra import FLAGS, check_flags, check_hydra, check_typed
from vitcross.config.compatibility import ConfigError

ROOT = Path(__file__).resolve().parents[2]
TWO_TOWERS = ["data=scenes_captions", "model=dual_encoder", "task=contrastive"]


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that an attack would make: `touch canary` in the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "canary"


TARGETS = [
    ["model._target_=os.system", "+model.command='touch canary'"],
    ["data._target_=os.system", "+data.command='touch canary'"],
    ["task._target_=builtins.eval"],
    ["optimizer._target_=subprocess.check_output"],
    ["model._target_=[os.system]"],
    ["model._target_=vitcross.models.vision_transformer.os.system"],
    ["model._target_=vitcross.experiment.run_folder.lock"],
    ["data._target_=vitcross.data.load.keys"],
    ["model._target_=vitcross.models.TextTransformer"],
    ["+data.augmentation._target_=os.system", "+data.augmentation.command='touch canary'"],
    ["data.image_size={_target_:os.system,command:'touch canary'}"],
    ["data.watermark={_target_:os.system,command:'touch canary'}"],
    ["+trainer._target_=os.system"],
    ["+attention_maps._target_=os.system"],
    ["+sinks._target_=os.system"],
    ["sinks.wandb.tags=[{_target_:os.system,command:'touch canary'}]"],
    ["+_target_=os.system"],
    ["+more._target_=os.system"],
    ["seed={_target_:os.system,command:'touch canary'}"],
    [*TWO_TOWERS, "model.image_encoder._target_=os.system"],
    [*TWO_TOWERS, "model.text_encoder._target_=vitcross.models.VisionTransformer"],
    [*TWO_TOWERS, "+model.third._target_=os.system"],
    ["+model._args_=['touch canary']"],
    ["+model._partial_=true"],
    ["optimizer._partial_=false"],
    ["optimizer._partial_=os.system"],
    ["+model._recursive_=true"],
    ["+model._convert_=none"],
    ["data=tfds", "data.name='kubric:movi_a'"],
    ["data=tfds", "data.name='huggingface:mnist'"],
]


@pytest.mark.parametrize("overrides", TARGETS, ids=" ".join)
def test_a_target_that_is_not_known_is_refused_wherever_it_stands(overrides, canary):
    with pytest.raises(ConfigError, match="_target_|there is no key|must be"):
        compose.check_arguments("train", overrides)
    assert not canary.exists()


OF_HYDRA = [
    "hydra.launcher._target_=os.system",
    "hydra.sweeper._target_=os.system",
    "+hydra.sweeper.sampler._target_=os.system",
    "+hydra.launcher.jobs=[{_target_:os.system}]",
    "+hydra.callbacks.x={_target_:os.system,command:'touch canary'}",
    "hydra.job.env_set={LD_PRELOAD:/tmp/x.so}",
    "hydra.job_logging={version:1,root:{handlers:[x]},handlers:{x:{(): os.system}}}",
    "hydra.hydra_logging.root={handlers:[x]}",
    "+model@hydra.callbacks.x=small",
]


@pytest.mark.parametrize("override", OF_HYDRA)
@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_hydra_calls_nothing_that_a_composed_configuration_names(name, override, canary):
    """Also what an experiment file would set: typed keys are looked at before."""
    with pytest.raises(ConfigError):
        compose.compose(name, [override, *(["run=."] if name == "evaluate" else [])])
    assert not canary.exists()


@pytest.mark.parametrize(
    "override",
    [
        "hydra.searchpath=[pkg://antigravity]",
        "hydra/callbacks=x",
        "+hydra/callbacks@hydra.x=y",
        "~hydra.job_logging",
        "++hydra.job.chdir=true",
        "hydra={callbacks:{x:{_target_:os.system}}}",
        "hydra.mode=MULTIRUN",
    ],
)
def test_of_hydra_only_the_keys_of_a_run_and_a_sweep_are_typed(override, capsys):
    with pytest.raises(ConfigError, match=r"only hydra\.run\.dir, .* can be typed. Received: " + re.escape(override)):
        check_typed(["seed=1", override])
    with pytest.raises(SystemExit, match="2"):
        train.split_arguments(["seed=1", override])
    assert capsys.readouterr().err.startswith("vitcross: of Hydra's own keys")


def test_what_a_run_and_a_sweep_need_is_allowed():
    check_typed(["hydra.run.dir=x", "hydra.sweep.dir=y", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "seed=1"])
    check_flags(FLAGS)
    plugin = {"sweeper": {"_target_": "hydra_plugins.optuna_sweeper.OptunaSweeper"}}
    check_hydra(plugin | {"launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}})


FLAGGED = [
    "--experimental-rerun",
    "--exp",
    "--config-path",
    "-cp",
    "--config-dir",
    "-cd",
    "--config-name",
    "--run",
    "-r",
]


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
@pytest.mark.parametrize("flag", FLAGGED)
def test_flags_that_load_other_configurations_or_pickles_are_refused(script, flag, canary, capsys):
    prepare = train.prepare_train if script == "train.py" else evaluate.prepare_evaluate
    for arguments in ([flag, "place"], [f"{flag}=place"]):
        with pytest.raises(SystemExit, match="2"):
            prepare(arguments)
        assert "a flag must be one of -h, --help, " in capsys.readouterr().err


def run(script, *arguments, cwd):
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_a_pickle_is_not_rerun_by_a_real_process(canary):
    """Hydra's own flag would load it before the program is asked."""
    attack = b"cposix\nsystem\n(S'touch canary'\ntR."
    Path("job.pickle").write_bytes(attack)
    done = run("train.py", "--experimental-rerun=job.pickle", cwd=canary.parent)
    assert done.returncode == 2 and done.stderr.startswith("vitcross: a flag must be") and not canary.exists()
    import pickle

    pickle.loads(attack)
    assert canary.exists()  # the attack is a real one


@pytest.fixture
def stored(canary):
    """Writes `run/compose.yaml`: a valid one, changed by a function of its text."""
    composed, _ = compose.compose("train", ["sinks.wandb.mode=disabled"])

    def write(change):
        folder = canary.parent / "run"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(change(compose.as_yaml(composed)))
        return folder

    assert compose.open_run(write(lambda text: text))
    return write


APPLY = "!!python/object/apply:os.system ['touch canary']"
STORED = {
    "a tag of Python in a value": lambda text: text.replace("seed: 0", f"seed: {APPLY}"),
    "a tag of Python as the whole": lambda text: APPLY,
    "a new object": lambda text: text.replace("seed: 0", "seed: !!python/object/new:os.system ['touch canary']"),
    "a module": lambda text: text.replace("seed: 0", "seed: !!python/module:antigravity"),
    "a target": lambda text: text.replace("vitcross.models.VisionTransformer", "os.system"),
    "a target that is no text": lambda text: text.replace("_target_: vitcross.models.VisionTransformer", "_target_: 3"),
    "a nested target": lambda text: text.replace("  augmentation:", "  augmentation:\n    _target_: os.system"),
    "arguments": lambda text: text.replace("model:\n", "model:\n  _args_: [touch canary]\n"),
    "a part": lambda text: text.replace("model:\n", "model:\n  _partial_: true\n"),
    "an environment variable": lambda text: text.replace("name: null", "name: ${oc.env:SECRET}"),
    "a decoded value": lambda text: text.replace("name: null", "name: ${oc.decode:${oc.env:SECRET}}"),
    "a secret in a list": lambda text: text.replace("tags: []", "tags: ['a ${oc.env:SECRET}']"),
    "a list": lambda text: "- 1\n",
    "nothing": lambda text: "",
    "a section that is none": lambda text: "data: 3\n",
    "sinks that are none": lambda text: text.partition("sinks:")[0] + "sinks: 3\n",
    "half of a sink": lambda text: text.partition("sinks:")[0] + "sinks:\n  wandb: 3\n",
    "no YAML": lambda text: "a: [",
    "bytes": lambda text: "\x00\x01",
}


@pytest.mark.parametrize("what", STORED)
def test_the_configuration_of_a_strangers_run_is_only_read(what, stored, canary, monkeypatch, capsys):
    monkeypatch.setenv("SECRET", "hunter2")
    folder = stored(STORED[what])
    opened = (
        lambda: compose.open_run(folder),
        lambda: evaluate.prepare_evaluate([f"run={folder}"]),
        lambda: train.prepare_train([f"resume={folder}"]),
        lambda: train.prepare_train([f"hydra.run.dir={folder}"]),
        lambda: evaluate.prepare_evaluate([f"run={stored_elsewhere(folder)}", f"compare={folder}"]),
    )
    for number, attempt in enumerate(opened):
        with pytest.raises((ConfigError, SystemExit)) as caught:
            attempt()
        assert number == 0 or caught.value.code == 2
        said = capsys.readouterr().err + str(caught.value)
        assert "hunter2" not in said and "Traceback" not in said and (number == 0 or "vitcross: " in said)
    assert not canary.exists()


def stored_elsewhere(folder):
    """A valid run beside a hostile one."""
    good = folder.parent / "good"
    good.mkdir(exist_ok=True)
    (good / "config.yaml").write_text(compose.as_yaml(compose.compose("train", [])[0]))
    return good


def test_load_refuses_a_hostile_run_before_tensorflow_is_asked(stored, canary):
    folder = stored(STORED["a target"])
    code = f"import vitcross\nvitcross.load({str(folder)!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert "ConfigError: model._target_ must be one of" in done.stderr and "tensorflow" not in done.stderr
    assert done.returncode == 1 and not canary.exists()
