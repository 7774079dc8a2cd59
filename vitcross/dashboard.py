"""Write a saved view of the W&B dashboard that asks first whether the maps can be trusted, then shows them.

    pip install 'vitcross[dashboard]'
    python -m vitcross.dashboard [entity=TEAM] [project=NAME] [name=TITLE] [base_url=https://...]

Once for a project: it shows the runs that are there and those to come. Every call writes a new view and leaves the
others alone. The only file that imports wandb-workspaces; its settings answer to version 0.4.
"""

import os
import sys
from typing import NamedTuple

from vitcross import metric_keys
from vitcross.metric_keys import KEYS, MEDIA, METHODS, OVERLAY, STEP, expand
from vitcross.sinks.weights_and_biases.environment import one_line
from vitcross.sinks.weights_and_biases.sink import account
from vitcross.terminal import say

ARGUMENTS = ("entity", "project", "name", "base_url")
NAME = "vitcross: where it looks, and whether to believe it"
USAGE = "python -m vitcross.dashboard [entity=TEAM] [project=NAME] [name=TITLE] [base_url=https://...]"

BEST_METHOD = "relevance"  # whose interval is drawn
MOST_KEYS = 9  # of one panel; of a longer list a pattern finds those that there are

HOW_TO_READ = """\
## How to read this

**A map is a claim. The curves beside this panel test it:** take away the patches that a map calls important, and the
answer should fall; put them in first, and it should rise.

| curve | how to read it |
|---|---|
{rows}

**Self-attention:** open an image of `{overlay}`, switch methods and levels on and off in its settings. A
level such as *top 3 %* is a share of the patches, so that it compares across methods and steps. Boxes are the truth;
the model never sees them. The slider of a section moves all its images to one step.

**Explore:** the viewer needs no network; click a patch, a word, a head. Look at the trust curves first: a map that is
no better than random is an image, not an explanation, and one of which the check cannot tell is a question.
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


def _line_panels(row):
    """The panels of a row of `metric_keys.KEYS`: its curves, and where several have bands, that of the best method."""
    end = {True: " (higher is better)", False: " (lower is better)", None: ""}[row.more_is_better]
    title, keys = f"{row.title}{end}", tuple(row.curves)
    bands = tuple(f"{row.head}{part}" for part in row.band)
    if len(keys) == 1:
        keys += bands
    elif isinstance(row.reference, str):
        keys += (expand(f"{row.head}{row.reference}")[0][0],)
    if "<" in row.pattern or len(keys) > MOST_KEYS:
        return [LinePanel(title, regex=row.regex, y_range=row.limits)]
    found = [LinePanel(title, keys, y_range=row.limits)]
    if bands and len(row.curves) > 1:
        best = [key for key in row.curves if f"/{BEST_METHOD}/" in key]
        low, high = (f"{best[0].removesuffix(row.last)}{part}" for part in row.band)
        found.append(LinePanel(f"{row.title}: {METHODS[BEST_METHOD]} with its interval", (low, *best, high)))
    return found


def _how_to_read():
    rows = [row for row in KEYS if row.section == "trust" and not row.not_drawn]
    table = "\n".join(f"| {row.title} | {row.meaning} |" for row in rows)
    return Text(HOW_TO_READ.format(rows=table, overlay=OVERLAY))


def _section(name, title):
    lines = [panel for row in KEYS if row.section == name and not row.not_drawn for panel in _line_panels(row)]
    images = [Images(media.question, (media.key,)) for media in MEDIA if media.section == name]
    words = [_how_to_read()] if name == "trust" else []
    columns = {"explore": 1, "self": 2, "text": 2}.get(name, 3)
    return Section(title, columns, (*words, *lines, *images), is_open=name != "health")


SECTIONS = tuple(_section(name, title) for name, title in metric_keys.SECTIONS.items())


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
