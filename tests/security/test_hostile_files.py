"""The files of a stranger's run: whatever is in them, they end in a message, and nothing in them is run."""

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.security import hostile
from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.attention_maps.records.run_captures import run_captures
from vitcross.attention_maps.viewer.comparison import compare_runs
from vitcross.command_line import evaluate, process, train
from vitcross.config import compose
from vitcross.data.tokenizer import Tokenizer
from vitcross.experiment import finished_run
from vitcross.training.checkpoint import fingerprint, read_header, seal_of


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def attack(tmp_path):
    """An object whose unpickling would leave a trace; afterwards there is none."""
    canary = tmp_path / "canary"
    yield Attack(canary)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Attack(canary)))
    assert canary.exists()  # the attack is a real one


@pytest.fixture
def run(folder_run, tmp_path):
    """A copy of a run, for an attack to write into."""
    folder = tmp_path / "run"
    shutil.copytree(folder_run[0], folder, ignore=shutil.ignore_patterns("*.html", "evaluation"))
    return folder


def message(call, folder, capsys):
    """What a user reads where `call` fails inside `evaluate.py`."""
    with pytest.raises(SystemExit, match="1"), process.report_errors(folder):
        call()
    said = capsys.readouterr().err
    assert said.startswith("vitcross: ") and "Traceback (" not in said and hostile.unprintable(said) == []
    return said


# ------------------------------------------------------------------------------------------------------------ records


def as_arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def objects(attack):
    return np.array([attack], dtype=object)


RECORDS = {
    "the header": lambda path, attack: np.savez(path, **as_arrays(path) | {"header": objects(attack)}),
    "the weights": lambda path, attack: np.savez(path, **as_arrays(path) | {"weights_000": objects(attack)}),
    "one array more": lambda path, attack: np.savez(path, **as_arrays(path) | {"more": objects(attack)}),
    "a pickle": lambda path, attack: path.write_bytes(pickle.dumps(attack)),
    "an array of objects alone": lambda path, attack: path.write_bytes(npy(attack)),
}


def npy(attack):
    path = Path(attack.canary).with_name("attack.npy")
    np.save(path, objects(attack), allow_pickle=True)
    return path.read_bytes()


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_is_not_unpickled(what, run, attack, capsys, caplog):
    path = sorted(run.glob("attention/step_*/record.npz"))[-1]
    RECORDS[what](path, attack)
    with pytest.raises(ValueError, match="`path` must be a complete attention record"):
        AttentionRecord.load(path)
    said = message(lambda: compare_runs(run, run), run, capsys)
    assert "must be a complete attention record" in said
    assert list(run_captures(run / "attention"))
    assert "A capture that cannot be read is left out" in caplog.text


def test_a_real_comparison_with_such_a_record_ends_in_one_message(run, attack):
    for path in run.glob("attention/step_*/record.npz"):
        RECORDS["the weights"](path, attack)
    done = hostile.run("evaluate.py", f"run={run}", f"compare={run}", status=1)
    assert done.stderr.count(b"vitcross: ") == 1 and b"must be a complete attention record" in done.stderr


# -------------------------------------------------------------------------------------------------------- checkpoints


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(**changes):
    return {"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | changes}


WEIGHTS = {
    "a header longer than the file": struct.pack("<Q", 2**20) + b"{}",
    "a header longer than any file": struct.pack("<Q", 2**63 + 7) + b"{}",
    "data beyond the end": safetensors(tensor(data_offsets=[0, 2**40])),
    "data before the begin": safetensors(tensor(data_offsets=[-24, 0]), b"\0" * 24),
    "a shape larger than the data": safetensors(tensor(shape=[2**31, 2**31]), b"\0" * 24),
    "an unknown type": safetensors(tensor(dtype="OBJECT"), b"\0" * 24),
    "two tensors in one place": safetensors(tensor() | {"y": tensor()["x"]}, b"\0" * 24),
    "no JSON": safetensors(b"\xff" * 8),
    "nothing": b"",
    "other tensors": safetensors(tensor(), b"\0" * 24),
}


@pytest.mark.parametrize("what", [*WEIGHTS, "a pickle"])
def test_weights_that_lie_are_refused(what, run, attack, capsys):
    for checkpoint in run.glob("checkpoints/step_*"):
        content = WEIGHTS.get(what) or pickle.dumps(attack)
        (checkpoint / "weights.safetensors").write_bytes(content)
        # With a fingerprint and a seal that are right, the file itself is opened.
        header = read_header(checkpoint)
        header["files"]["weights.safetensors"] = fingerprint(content)
        (checkpoint / "checkpoint.json").write_text(json.dumps(header | {"seal": seal_of(header)}))
    message(lambda: finished_run.load_run(run), run, capsys)


ELSEWHERE = ["../../../../../../../../etc", "/etc", "..", ".", "", "step_00000002/../../..", "\x1b[2J", 3, [], {}, True]


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("which", ["best", "latest"])
def test_an_index_that_points_elsewhere_opens_nothing_there(name, which, run, capsys):
    index = json.loads((run / "checkpoints/index.json").read_text())
    (run / "checkpoints/index.json").write_text(json.dumps(index | {which: name}))
    for checkpoint in run.glob("checkpoints/step_*"):
        shutil.rmtree(checkpoint)  # else the newest may be taken instead
    message(lambda: finished_run.open_checkpoint(run, which), run, capsys)
    config_of_run = compose.open_run(run)
    # The class names of a checkpoint elsewhere are not asked for either.
    evaluate.check_target(config_of_run, {"run": run, "checkpoint": which, "target": "x"})


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", '{"version": 2}', '{"version": [2]}', "\x1b[2J"])
def test_a_damaged_header_is_a_message(text, run, capsys):
    for checkpoint in run.glob("checkpoints/step_*"):
        (checkpoint / "checkpoint.json").write_text(text)
    message(lambda: finished_run.load_run(run), run, capsys)


@pytest.mark.parametrize(
    "text", ["[]", "3", "{", '{"state": 3}', '{"choices": 3, "threads": "many"}', '{"choices": {"data": []}}']
)
@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_what_a_run_says_of_itself_is_not_trusted(name, text, run):
    (run / name).write_text(text)
    if name == "run.json":
        (run / "summary.json").unlink()
    command = train.prepare_train([f"resume={run}"])
    assert command.resume and command.folder == run
    assert all(isinstance(option, str | None) for option in command.choices.values())


# ---------------------------------------------------------------------------------------------------------- tokenizer

TOKENIZERS = {
    "a pickle": None,
    "no JSON": b"[" * 100_000,
    "a list": [],
    "bytes that make its library panic": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "half a pattern": {"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}},
    "an unknown part": {"pre_tokenizer": {"type": "os.system"}},
    "merges of nothing": {"merges": True},
    "other special tokens": {"vocab": True},
}


@pytest.mark.parametrize("what", TOKENIZERS)
def test_a_hostile_tokenizer_is_a_message(what, tmp_path, attack):
    path, change = tmp_path / "tokenizer.json", TOKENIZERS[what]
    Tokenizer.train(["a red star"], vocabulary_size=300).save(path)
    whole = json.loads(path.read_text())
    if change == {"merges": True}:
        whole["model"]["merges"] = [["no", "such"]]
    elif change == {"vocab": True}:
        whole["model"]["vocab"] = {f"{token}!": number for token, number in whole["model"]["vocab"].items()}
        whole["model"]["merges"] = []
    elif isinstance(change, dict):
        whole |= change
    content = pickle.dumps(attack) if change is None else change if isinstance(change, bytes) else None
    path.write_bytes(content or json.dumps(whole if isinstance(change, dict) else change).encode())
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        Tokenizer.load(path)
