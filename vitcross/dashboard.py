"""Write a saved view of the W&B dashboard that asks first whether the maps can be trusted, then shows them.

    pip install 'vitcross[dashboard]'
    python -m vitcross.dashboard [entity=TEAM] [project=NAME] [name=TITLE] [base_url=https://...]

Once for a project: it shows the runs that are there and those to come. Every call writes a new view and leaves the
others alone. The only file that imports wandb-workspaces; its settings answer to version 0.4.
"""

import os
import sys
from typing import NamedTuple

from vitcross.attention_maps.methods.rollout import ORDER as METHODS
from vitcross.sinks.weights_and_biases.environment import one_line
from vitcross.sinks.weights_and_biases.sink import STEP, account
from vitcross.terminal import say

ARGUMENTS = ("entity", "project", "name", "base_url")
NAME = "vitcross: where it looks, and whether to believe it"
USAGE = "python -m vitcross.dashboard [entity=TEAM] [project=NAME] [name=TITLE] [base_url=https://...]"

HOW_TO_READ = """\
## How to read this

**A map is a claim. The curves beside this panel test it:** take away the patches that a map calls important, and the
answer should fall; put them in first, and it should rise.

| curve | good | says nothing |
|---|---|---|
| verdict | 1, follows the model | 0, no better than random; -1, nothing to explain |
| gap | above 0, with its whole interval | an interval that holds 0 |
| share of leave-one-out | near 1 | near 0 |
| sanity | near 0 | near 1: an untrained model of another seed gives the same map |
| pointing | far above its chance | at its chance |
| lift | far above 1 | near 1: as much in the box as a box of that size gets anyway |

**Self-attention:** open an image of `attention/self/overlay`, switch methods and levels on and off in its settings. A
level such as *top 3 %* is a share of the patches, so that it compares across methods and steps. Boxes are the truth;
the model never sees them. The slider of a section moves all its images to one step.

**Explore:** the viewer needs no network; click a patch, a word, a head. Look at the trust curves first: a map that does
not follow the model is an image, not an explanation.
"""


class LinePanel(NamedTuple):
    """Line plot: `keys` by name, or all keys that match `regex`; `y_range` (low, high)."""

    title: str
    keys: tuple = ()
    regex: str | None = None
    y_range: tuple = (None, None)


class Images(NamedTuple):
    """Media panel."""

    title: str
    keys: tuple


class Text(NamedTuple):
    """Markdown panel."""

    markdown: str


class Section(NamedTuple):
    """A section of the view: its panels, how many stand beside each other, and whether it is open."""

    name: str
    columns: int
    panels: tuple
    is_open: bool = True


def _of_methods(template):
    return tuple(template.format(method) for method in METHODS)


def _statistic(name, title):
    return LinePanel(title, tuple(f"attention_stats/{name}/{part}" for part in ("mean", "min", "max")))


SECTIONS = (
    Section(
        "Is it trustworthy?",
        3,
        (
            Text(HOW_TO_READ),
            LinePanel("Verdict: 1 follows the model, 0 no better than random, -1 nothing to explain",
                   _of_methods("trust/{}/verdict"), y_range=(-1.1, 1.1)),
            LinePanel("Gap over random orders", _of_methods("trust/{}/gap")),
            LinePanel("Gap of relevance with its 99 % interval",
                   tuple(f"trust/relevance/{part}" for part in ("gap_low", "gap", "gap_high"))),
            LinePanel("Gap as a share of leave-one-out", _of_methods("trust/{}/gap_share")),
            LinePanel("Deletion: lower is better", (*_of_methods("trust/{}/deletion"), "trust/random/deletion")),
            LinePanel("Insertion: higher is better", (*_of_methods("trust/{}/insertion"), "trust/random/insertion")),
            LinePanel("Sanity: like an untrained model's map", _of_methods("trust/{}/sanity"), y_range=(-1, 1)),
            LinePanel("Pointing game, and its chance",
                   (*_of_methods("grounding/{}/pointing"), "grounding/relevance/chance"), y_range=(0, 1)),
            LinePanel("Energy lift: 1 knows nothing", _of_methods("grounding/{}/lift")),
            LinePanel("Energy lift on a planted mark: it should stay near 1", _of_methods("grounding/mark/{}/lift")),
            LinePanel("Examples measured, and how many can be explained", ("trust/examples", "trust/explainable")),
        ),
    ),
    Section(
        "Self-attention",
        2,
        (
            Images("Overlay: switch methods and levels", ("attention/self/overlay",)),
            Images("Probes, predictions", ("attention/probe",)),
            Images("Every method", ("attention/self/methods",)),
            Images("Every head", ("attention/self/heads",)),
            Images("Every layer", ("attention/self/layers",)),
        ),
    ),
    Section(
        "Image and text",
        2,
        (
            Images("What decides each word", ("attention/cross/relevance",)),
            Images("What words look at", ("attention/cross/words",)),
            Images("Words and patches", ("attention/cross/matrix",)),
            Images("Similarity of words and patches", ("attention/cross/similarity",)),
            Images("What the text's pooling reads", ("attention/self/text",)),
            LinePanel("Energy lift on the boxes of words, by layer", regex="grounding/words/.*/lift"),
            LinePanel("Pointing game on the boxes of words, by layer", regex="grounding/words/.*/(pointing|chance)"),
        ),
    ),
    Section(
        "Explore",
        1,
        (
            Images("Interactive viewer", ("attention/viewer",)),
            Images("Film of all captures", ("attention/evolution",)),
        ),
    ),
    Section(
        "Health",
        3,
        (
            _statistic("entropy", "Entropy over layers: 1 attends to all alike"),
            _statistic("distance", "Mean attention distance over layers, pixels"),
            _statistic("prefix_mass", "Attention to prefix tokens"),
            _statistic("sink_share", "Attention to the most attended token"),
            LinePanel("Patches of outstanding norm", ("attention_stats/artifact_patches",)),
            LinePanel("Similarity of heads", ("attention_stats/head_similarity",)),
            LinePanel("Change since the last capture", ("attention_stats/change",)),
            Images("Entropy, layer by layer", ("attention_stats/entropy",)),
            Images("Distance, layer by layer", ("attention_stats/distance",)),
            LinePanel("Gradient norm", ("optimizer/gradient_norm",)),
        ),
        is_open=False,
    ),
    Section(
        "Training",
        3,
        (
            LinePanel("Loss", ("train/loss", "val/loss", "val/loss_ema")),
            LinePanel("Accuracy", ("train/accuracy", "val/accuracy", "val/accuracy_ema"), y_range=(0, 1)),
            LinePanel("Accuracy by type", regex="val/accuracy/.*", y_range=(0, 1)),
            LinePanel("Retrieval: recall", regex="val/(image_to_text|text_to_image)_r[0-9]+", y_range=(0, 1)),
            LinePanel("Captions", ("val/attribute_accuracy", "val/attribute_accuracy_unseen", "val/bleu4",
                                 "val/rouge_l", "val/cider")),
            LinePanel("Learning rate", ("optimizer/learning_rate",)),
            LinePanel("Images per second", ("speed/images_per_second",)),
        ),
    ),
)  # fmt: skip


def workspace(entity, project, name=NAME):
    """The view as an object of wandb-workspaces; nothing is sent before its `save()`.

    Raises:
        ImportError: where wandb-workspaces is not installed.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    def panel(entry):
        if isinstance(entry, Text):
            return panels.MarkdownPanel(markdown=entry.markdown)
        if isinstance(entry, Images):
            return panels.MediaBrowser(title=entry.title, media_keys=list(entry.keys))
        return panels.LinePlot(
            title=entry.title, x=STEP, y=list(entry.keys), metric_regex=entry.regex, range_y=entry.y_range
        )

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        settings=workspaces.WorkspaceSettings(x_axis=STEP),
        auto_generate_panels=False,  # they would bury the six sections
        sections=[
            workspaces.Section(
                name=section.name,
                is_open=section.is_open,
                panels=[panel(entry) for entry in section.panels],
                layout_settings=workspaces.SectionLayoutSettings(
                    columns=section.columns, rows=-(-len(section.panels) // section.columns)
                ),
            )
            for section in SECTIONS
        ],
    )


def read_arguments(arguments):
    """dict of `key=value` arguments.

    Raises:
        ValueError: for a key that there is not, or an empty value.
    """
    given = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in ARGUMENTS or not value:
            raise ValueError(f"usage: {USAGE}. Received: {argument!r}")
        given[key] = value
    return given


def main(arguments):
    """Write the view and print its address. Returns the exit status: 2 where something has to be set up or typed
    differently, 1 where the server refused."""
    try:
        given = read_arguments(arguments)
        import wandb_workspaces.workspaces  # noqa: F401 (slow, and needed only from here on)
    except ValueError as error:
        return _fail(str(error), 2)
    except ImportError:
        return _fail("the package wandb-workspaces is missing: pip install 'vitcross[dashboard]'", 2)
    try:
        with account(given.get("base_url")) as own_entity:
            entity = given.get("entity") or os.environ.get("WANDB_ENTITY") or own_entity()
            project = given.get("project") or os.environ.get("WANDB_PROJECT") or "vitcross"
            say(f"vitcross: the view is saved: {workspace(entity, project, given.get('name', NAME)).save().url}")
    except LookupError as error:
        return _fail(str(error), 2)
    except Exception as error:
        return _fail(f"the view could not be saved: {one_line(error)}", 1)
    return 0


def _fail(message, status):
    say(f"vitcross: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
