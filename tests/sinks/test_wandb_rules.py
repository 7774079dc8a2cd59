"""What W&B refuses is refused when it is typed; wandb's own checks are the oracle."""

import pytest
import wandb

from vitcross.config import compose
from vitcross.config.typed_text import quote

TEXTS = [
    "a",
    "My project 2024",
    "größe",
    "x" * 64,
    "x" * 65,
    "x" * 128,
    "x" * 129,
    "a/b",
    "a:b",
    "50%",
    "a#b",
    "",
    "a?",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("key", "setting"), [("project", "project"), ("tags", "run_tags")])
def test_the_rules_are_those_of_wandb(key, setting, text):
    try:
        wandb.Settings(**{setting: text if key == "project" else [text]})
        refused = text == ""  # an empty project is that of the account
    except Exception:
        refused = True
    typed = quote(f"sinks.wandb.{key}={text if key == 'project' else [text]}", "train")
    if not refused:
        compose.check_arguments("train", [typed])
        return
    with pytest.raises(compose.ConfigError, match=f"sinks.wandb.{key} must be 1 to ") as error:
        compose.check_arguments("train", [typed])
    assert "it has" in str(error.value) and f"Received: {text!r}" in str(error.value)


@pytest.mark.parametrize("typed", ["entity=team/x", "name=" + "n" * 129, "group= ", "base_url=https://wandb.ai"])
def test_other_wrong_texts_are_refused(typed):
    with pytest.raises(compose.ConfigError, match=f"sinks.wandb.{typed.partition('=')[0]} must be"):
        compose.check_arguments("train", [quote(f"sinks.wandb.{typed}", "train")])
