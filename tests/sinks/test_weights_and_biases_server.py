"""The real wandb client against a server of our own: online, uploaded later, down, broken, closed in mid-run."""

import dataclasses
import socket

import pytest

from tests.sinks.loopback_server import LoopbackServer
from tests.sinks.samples import sample_media
from tests.sinks.test_weights_and_biases import CONFIG, check_images, start, use
from tests.sinks.wandb_client import API_KEY, ReadBack, curve, wandb


@pytest.fixture
def key(home, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)


def check_run(run, steps=(0, 10, 20)):
    """Configuration, curves and images arrived on the server."""
    assert {key: value for key, value in run.config.items() if key != "_wandb"} == CONFIG
    assert curve(run.rows, "train/loss") == [(step, pytest.approx(1 / (1 + step))) for step in steps]
    assert curve(run.rows, "val/accuracy") == [(steps[-1], 0.875)]
    check_images(run.rows, run.files.__getitem__)


def test_online_run(tmp_path, key):
    with LoopbackServer() as server:
        sink, lines = start(
            tmp_path,
            base_url=server.url,
            entity="lab",
            project="p",
            group="g",
            name="n",
            tags=("t",),
            job_type="evaluation",
        )
        assert (sink.mode, sink.url) == ("online", f"{server.url}/lab/p/runs/{sink.run_id}")
        use(sink)
        sink.animation(20, b"GIF89a film")
        sink.media(30, dataclasses.replace(sample_media(30, keys=()), viewer="<p>viewer</p>"))
        print("a plain line")
        sink.close({"val/accuracy": 0.875}, 0)
    run = server.runs[sink.run_id]
    assert any(line.endswith(" a plain line") for line in run.console.values())
    check_run(run)
    ((step, film),) = curve(run.rows, "attention/evolution")
    assert (step, run.files[film["path"]]) == (20, b"GIF89a film")
    ((step, viewer),) = curve(run.rows, "attention/viewer")
    assert (step, run.files[viewer["path"]]) == (30, b"<p>viewer</p>")
    assert run.exit_code == 0 and run.summary["val/accuracy"] == 0.875
    sent = {name: run.fields[name] for name in ("entity", "project", "groupName", "displayName", "tags", "jobType")}
    assert sent == {
        "entity": "lab",
        "project": "p",
        "groupName": "g",
        "displayName": "n",
        "tags": ["t"],
        "jobType": "evaluation",
    }
    assert lines[0] == f"Weights & Biases: online, {sink.url}"
    assert len(lines) == 2 and sink.url in lines[1] and sink.sync_command in lines[1]
    assert server.unknown == []


@pytest.mark.parametrize("how", ["environment", "netrc"])
def test_auto_finds_the_key_where_wandb_keeps_it(tmp_path, home, monkeypatch, how):
    with LoopbackServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        if how == "environment":
            monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        else:
            host = server.url.removeprefix("http://")
            (home / ".netrc").write_text(f"machine {host}\n  login user\n  password {API_KEY}\n")
        sink, _ = start(tmp_path)
        sink.close({}, 130)
    assert sink.mode == "online"
    assert server.runs[sink.run_id].exit_code == 130


def test_offline_run_is_uploaded_by_wandb_sync(tmp_path, home):
    sink, _ = start(tmp_path)
    use(sink)
    sink.close({"val/accuracy": 0.875}, 0)
    with LoopbackServer() as server:
        wandb("sync", sink.folder, home=home, WANDB_BASE_URL=server.url, WANDB_API_KEY=API_KEY)
    check_run(server.runs[sink.run_id])
    assert server.runs[sink.run_id].exit_code == 0


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["closed port", "silent", 500, 403])
def test_server_that_cannot_be_used_means_offline(tmp_path, home, key, fault):
    with LoopbackServer(fault=fault if isinstance(fault, int) else None) as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        url = {"closed port": closed_port(), "silent": f"http://127.0.0.1:{silent.getsockname()[1]}"}.get(
            fault, server.url
        )
        sink, lines = start(tmp_path, base_url=url, init_timeout=2)
        use(sink)
        sink.close({}, 0)
    assert (sink.mode, sink.url) == ("offline", None)
    assert len(lines) == 2 and "offline, the server cannot be used (" in lines[0]
    assert f"WANDB_BASE_URL={url} wandb sync" in lines[0]
    run = ReadBack(sink.folder, home)
    assert run.exit_code == 0 and len(run.curve("train/loss")) == 3
    check_images(run.rows, lambda path: (sink.folder / "files" / path).read_bytes())
    assert not list(sink.folder.parent.glob("run-*"))  # nothing is left of the attempt


@pytest.mark.parametrize("death", ["closed port", 500, 403])
def test_a_server_that_fails_during_the_run_costs_only_the_upload(tmp_path, home, key, death):
    with LoopbackServer() as server:
        sink, lines = start(tmp_path, base_url=server.url, finish_timeout=3)
        if death == "closed port":
            server.stop()
        else:
            server.fault = death
        use(sink, steps=range(301))
        sink.close({}, 0)
    assert sink.mode == "online" and "wandb sync --include-online '" in lines[-1]
    with LoopbackServer() as later:
        wandb("sync", "--include-online", sink.folder, home=home, WANDB_BASE_URL=later.url, WANDB_API_KEY=API_KEY)
    check_run(later.runs[sink.run_id], steps=range(301))
    assert later.runs[sink.run_id].exit_code == 0
