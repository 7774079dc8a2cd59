"""What the tests do with the real wandb client: read a run's file back, upload it, and keep out of the user's home."""

import json
import os
import subprocess
import sys

API_KEY = "0123456789" * 4


def clean_environment(home, **extra):
    """Environment of a machine without any W&B configuration, whose home is `home`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "XDG_", "NETRC"))}
    return {**kept, "HOME": str(home), **extra}


def wandb(*arguments, home, **extra):
    """Output of the `wandb` command."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", *map(str, arguments)],
        env=clean_environment(home, WANDB_ERROR_REPORTING="false", **extra),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class ReadBack:
    """An offline (or killed) run as wandb's own reader shows it: `config`, `rows`, `metrics`, `exit_code`, `name`."""

    def __init__(self, folder, home):
        records = [json.loads(line) for line in wandb("leet", "inspect", "--json", folder, home=home).splitlines()]
        bodies = [(record["type"], record.get(record["type"])) for record in records]
        self.folder = folder
        self.rows = [nested(body["item"]) for kind, body in bodies if kind == "history"]
        self.metrics = [body for kind, body in bodies if kind == "metric"]
        self.exit_code = next((body["exit_code"] for kind, body in bodies if kind == "exit"), "no exit record")
        summary = json.loads(wandb("leet", "inspect", "--summary", "--json", folder, home=home))
        self.config, self.summary = summary["config"], summary["summary"]
        self.fields = {key: summary[key] for key in ("name", "project", "tags", "entity")}

    def curve(self, key):
        return curve(self.rows, key)


def nested(item):
    """`{"a/b.path": 1}` -> `{"a/b": {"path": 1}}`: the reader joins the levels of a media value with dots."""
    row = {}
    for key, value in item.items():
        outer, _, inner = key.partition(".")
        if inner:
            row.setdefault(outer, {})[inner] = value
        else:
            row[outer] = value
    return row


def curve(rows, key):
    """[(step, value), ...] of one key."""
    return [(row["trainer/step"], row[key]) for row in rows if key in row]
