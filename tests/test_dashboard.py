"""The saved view: what a real wandb-workspaces sends to a server of our own, and what a user is told otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sinks.loopback_server import LoopbackServer
from tests.sinks.wandb_client import API_KEY, clean_environment
from vitcross import dashboard

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ["Is it trustworthy?", "Self-attention", "Image and text", "Explore", "Health", "Training"]


@pytest.fixture
def run(tmp_path):
    """Runs the command in folders of its own; nothing may be left in any of them."""
    folders = {name: tmp_path / name for name in ("home", "working", "temporary")}
    for folder in folders.values():
        folder.mkdir()

    def command(*arguments, code="import runpy; runpy.run_module('vitcross.dashboard', run_name='__main__')", **extra):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=clean_environment(folders["home"], TMPDIR=str(folders["temporary"]), PYTHONPATH=str(ROOT), **extra),
            cwd=folders["working"],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert {name: list(folder.rglob("*")) for name, folder in folders.items()} == {name: [] for name in folders}
        return done

    return command


def refused(done, status, *words):
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("vitcross: ") and done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_the_view_that_is_sent(run):
    with LoopbackServer() as server:
        done = run("project=shapes", WANDB_BASE_URL=server.url, WANDB_API_KEY=API_KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.unknown == []
    (view,) = server.views
    name = view["name"].removeprefix("nw-").removesuffix("-v")
    assert done.stdout == f"vitcross: the view is saved: {server.url}/loopback/shapes?nw={name}\n"
    # The account's own team where none is named.
    assert (view["entityName"], view["projectName"], view["type"]) == ("loopback", "shapes", "project-view")
    section = view["spec"]["section"]
    assert section["settings"]["xAxis"] == "trainer/step"
    assert section["settings"]["shouldAutoGeneratePanels"] is False
    sections = section["panelBankConfig"]["sections"]
    assert [s["name"] for s in sections] == SECTIONS
    by_name = {s["name"]: [(p["viewType"], p["config"]) for p in s["panels"]] for s in sections}
    kind, config = by_name["Is it trustworthy?"][0]
    assert kind == "Markdown Panel" and "How to read" in config["value"]
    media = {
        name: sum((c["mediaKeys"] for k, c in panels if k == "Media Browser"), []) for name, panels in by_name.items()
    }
    assert media["Self-attention"] == [
        "attention/self/overlay", "attention/self/methods", "attention/self/labels", "attention/self/layers",
        "attention/probe", "attention/self/heads",
    ]  # fmt: skip
    assert {"attention/cross/words", "attention/cross/matrix"} <= set(media["Image and text"])
    assert media["Explore"] == ["attention/viewer", "attention/evolution"]
    lines = [config for panels in by_name.values() for kind, config in panels if kind == "Run History Line Plot"]
    assert all(config["xAxis"] == "trainer/step" for config in lines)
    assert all(bool(config["metrics"]) != bool(config.get("metricRegex")) for config in lines)
    curves = {
        name: sum((c["metrics"] for k, c in panels if k == "Run History Line Plot"), [])
        for name, panels in by_name.items()
    }
    for method in ("raw", "rollout", "relevance", "leave_one_out"):
        for measure in ("verdict", "gap", "gap_share", "deletion", "insertion", "sanity"):
            assert f"trust/{method}/{measure}" in curves["Is it trustworthy?"]
        assert f"grounding/{method}/pointing" in curves["Is it trustworthy?"]
    assert "trust/random/deletion" in curves["Is it trustworthy?"]
    assert "attention_stats/entropy/mean" in curves["Health"] and "optimizer/gradient_norm" in curves["Health"]
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(curves["Training"])


def test_every_section_shows_all_its_panels_without_turning_pages(run):
    with LoopbackServer() as server:
        run("entity=lab", "name=mine", f"base_url={server.url}", WANDB_API_KEY=API_KEY, WANDB_PROJECT="of-the-shell")
    (view,) = server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("lab", "of-the-shell", "mine")
    for section in view["spec"]["section"]["panelBankConfig"]["sections"]:
        flow = section["flowConfig"]
        assert flow["columnsPerPage"] * flow["rowsPerPage"] >= len(section["panels"]) > 0
        assert section["isOpen"] == (section["name"] != "Health")


def test_the_curves_of_unknown_names_are_found_by_patterns_that_match_them():
    import re

    patterns = [p.regex for s in dashboard.SECTIONS for p in s.panels if isinstance(p, dashboard.LinePanel) and p.regex]
    for key in ("grounding/words/block_01/lift", "grounding/words/similarity/chance", "val/accuracy/color",
                "val/image_to_text_r5"):  # fmt: skip
        assert any(re.fullmatch(pattern, key) for pattern in patterns), key


@pytest.mark.parametrize("argument", ["projekt=x", "project", "project=", "--help"])
def test_wrong_arguments(run, argument):
    refused(run(argument), 2, "usage: python -m vitcross.dashboard", f"Received: {argument!r}")


def test_without_the_extra(run):
    code = (
        "import runpy, sys; sys.modules['wandb_workspaces'] = None\n"
        "runpy.run_module('vitcross.dashboard', run_name='__main__')"
    )
    refused(run(code=code), 2, "pip install 'vitcross[dashboard]'")


@pytest.mark.parametrize(("key", "words"), [(None, "no API key is configured for"), ("short", "API key must have")])
def test_without_a_usable_key_the_server_is_not_asked(run, key, words):
    with LoopbackServer() as server:
        done = run(WANDB_BASE_URL=server.url, **({} if key is None else {"WANDB_API_KEY": key}))
    refused(done, 2, words)
    assert server.operations == []


@pytest.mark.parametrize("refuses", ["Viewer", "GetDefaultEntity", "UpsertView2", 403])
def test_a_server_that_refuses(run, refuses):
    with LoopbackServer(fault=refuses if isinstance(refuses, int) else None) as server:
        server.refused = {refuses}
        done = run(WANDB_BASE_URL=server.url, WANDB_API_KEY=API_KEY)
    refused(done, 1, "the view could not be saved", str(refuses))
    assert server.views == []
