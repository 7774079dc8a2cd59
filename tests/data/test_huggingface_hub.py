"""The Hugging Face Hub, as a server on loopback: a set is fetched once, and read from the cache without a network."""

import os
import subprocess
import sys

import pytest

from tests.data import huggingface_sets as sets
from tests.data.hub_server import SHA, HubServer

# `HF_ENDPOINT` is read when `datasets` is imported.
CODE = """
import logging, sys
logging.basicConfig(format="%(message)s")
logging.getLogger("vitcross").setLevel(logging.INFO)
from vitcross.options.data import HuggingFaceOptions
from vitcross.data.sources.huggingface_set import check, labeled_sources
for name, revision in (text.split("@") for text in sys.argv[1:]):
    try:
        options = HuggingFaceOptions(name=name, revision=revision or None)
        check(options, "labels")
        print(*(source.labels().tolist() for source in labeled_sources(options)[1].values()))
    except (ValueError, OSError) as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = sets.parquet(tmp_path_factory.mktemp("pets"))
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}
    server = HubServer("org/pets", files)
    yield server
    server.close()


def ask(hub, cache, *names, **environment):
    """`(printed, told)`: lines of output and the text of the log of a process that opens data sets by name."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(cache), "PYTHONPATH": os.getcwd(), **environment}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *names], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines(), done.stderr


def test_a_set_is_fetched_once_and_then_read_without_a_network(hub, tmp_path):
    rows = " ".join(str([sets.label(k) for k in range(count)]) for count in sets.COUNTS.values())
    printed, told = ask(hub.url, tmp_path, "org/pets@", "org/nothing@", "org/pets@v9", "org/pets@main")
    assert printed[0] == printed[3] == rows
    assert printed[1].startswith(
        "ValueError data.name=org/nothing cannot be opened: Dataset 'org/nothing' doesn't exist"
    )
    assert "Revision 'v9' doesn't exist" in printed[2]
    assert f"org/pets: revision {SHA}" in told and "image from 'image', label from 'label'" in told
    assert told.count("Preparing org/pets in") == 1 and "Downloading" not in told  # no bars of `datasets`
    fetched = [asked for asked in hub.asked if asked.startswith("GET") and asked.endswith(".parquet")]
    assert set(fetched) == {f"GET /datasets/org/pets/resolve/{SHA}/{file}" for file in hub.files}

    nobody = "http://127.0.0.1:9"
    printed, told = ask(nobody, tmp_path, "org/pets@", "org/other@", f"org/pets@{SHA}", "org/pets@0000")
    assert printed[0] == printed[2] == rows
    assert f"{nobody} does not answer" in told and "org/pets is taken from the cache" in told
    assert printed[1].startswith(
        f"ConnectionError org/other is not in {tmp_path}/datasets, and {nobody} does not answer"
    )
    assert printed[1].endswith("name a local copy: data.root=DIR")
    assert "data.revision=0000 of org/pets cannot be fetched" in printed[3] and SHA in printed[3]


def test_offline_mode_asks_no_server(hub, tmp_path):
    hub.asked.clear()
    printed, _ = ask(hub.url, tmp_path, "org/pets@", HF_HUB_OFFLINE="1")
    assert "org/pets is not in" in printed[0] and "HF_HUB_OFFLINE is set" in printed[0] and not hub.asked
