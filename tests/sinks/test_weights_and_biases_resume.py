"""A W&B run that goes on: under its id, online and offline, with the real client against a server of our own."""

import shlex

import pytest

from tests.sinks.loopback_server import LoopbackServer
from tests.sinks.test_weights_and_biases import start
from tests.sinks.wandb_client import API_KEY, ReadBack, curve, wandb


def part(folder, steps, **settings):
    sink, lines = start(folder, **settings)
    for step in steps:
        sink.scalars(step, {"train/loss": 1 / (1 + step)})
    sink.close({}, 0)
    return sink, lines


def test_offline_parts_are_appended_by_one_sync(tmp_path, home):
    first, _ = part(tmp_path, (0, 10))
    second, lines = part(tmp_path, (20, 30), resume=True)
    assert second.run_id == first.run_id and second.folder != first.folder
    assert [step for step, _ in ReadBack(second.folder, home).curve("train/loss")] == [20, 30]
    command = shlex.split(second.sync_command)
    assert command[:2] == ["wandb", "sync"] and command[2:] == [str(first.folder), str(second.folder)]
    assert second.sync_command in lines[-1]
    with LoopbackServer() as server:
        wandb(*command[1:], home=home, WANDB_BASE_URL=server.url, WANDB_API_KEY=API_KEY)
    assert [step for step, _ in curve(server.runs[first.run_id].rows, "train/loss")] == [0, 10, 20, 30]
    assert list(server.runs) == [first.run_id]


def test_online_the_run_of_the_server_is_continued(tmp_path, home, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    with LoopbackServer() as server:
        first, _ = part(tmp_path, (0, 10), base_url=server.url, entity="lab", project="p")
        second, _ = part(tmp_path, (20, 30), base_url=server.url, entity="lab", project="p", resume=True)
        assert (second.mode, second.url) == ("online", first.url)
    assert list(server.runs) == [first.run_id]
    assert [step for step, _ in curve(server.runs[first.run_id].rows, "train/loss")] == [0, 10, 20, 30]
    assert server.unknown == []


@pytest.mark.parametrize("kind", ["a new run", "an evaluation"])
def test_other_runs_in_the_folder_are_separate(tmp_path, home, kind):
    first, _ = part(tmp_path, (0,))
    settings = {"resume": True, "job_type": "evaluation"} if kind == "an evaluation" else {}
    second, _ = part(tmp_path, (0,), **settings)
    assert second.run_id != first.run_id
    third, _ = part(tmp_path, (1,), resume=True)
    assert third.run_id == (first if kind == "an evaluation" else second).run_id
