"""Explains the configuration by the comments of `conf/`: the pages of `--help`, and `--cfg job`."""

import functools
import re
import textwrap
from pathlib import Path

import yaml

LINE = 120  # characters of a line that is printed


def options(conf, group):
    """Names of a config group, sorted."""
    return sorted(path.stem for path in (Path(conf) / group).glob("*.yaml"))


def first_comment(path):
    """The first comment line of a YAML file that is not a Hydra directive, cut to what fits beside its name."""
    for line in Path(path).read_text().splitlines():
        if line.startswith("# ") and not line.startswith("# @"):
            return textwrap.shorten(line[2:], 88, placeholder=" ...")
    return ""


HELP = """\
vitcross trains a Vision Transformer, or a model of images and texts, and shows, while it trains, where it looks.

  python train.py                                       the rendered scenes: no network, no account, CPU is enough
  python train.py experiment=NAME key=value ...         a named recipe; any value overridden
  python train.py data=image_folder data.root=DIR       your own images, one folder per class
  python train.py data=labels_file data.file=TRAIN.csv  your own images, labels in a table
  python train.py -m optimizer.learning_rate=1e-3,3e-4  a sweep, each trial in a process of its own
  python train.py -m hydra/sweeper=optuna 'optimizer.learning_rate=tag(log,interval(1e-4,3e-3))'
                                                        a sweep that learns from its trials; needs the extra `sweep`
  python train.py resume=RUN_FOLDER                     resumes a run exactly where it stopped, in its folder
  python train.py --cfg job [key=value ...]             print the whole configuration and exit
  python evaluate.py run=RUN_FOLDER                     metrics and attention maps of a finished run

GROUPS: choose with group=NAME
{groups}
KEYS that people change most: override with key=value
{keys}
Lengths are steps or carry a unit: trainer.steps=1000, 'trainer.epochs=20', 'optimizer.warmup="5 percent"'.
A run writes outputs/<name>/<date>_<time>/: open attention/index.html there, also while it trains.
"""

MOST_CHANGED = (
    "trainer.steps",
    "trainer.epochs",
    "data.batch_size",
    "data.image_size",
    "data.augmentation.flip",
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "model.variant",
    "model.embed_dim",
    "model.depth",
    "model.num_heads",
    "model.patch_size",
    "model.drop_path_rate",
    "seed",
    "sinks.wandb.mode",
)


def help_page(conf, script="train"):
    """The page of `--help`: commands, groups with their options, the keys that people change most, or all of them."""
    if script == "evaluate":
        keys = [_key_line(*key) for key in commented_keys(Path(conf) / "evaluate.yaml") if key[0] != "defaults"]
        return EVALUATE_HELP.format(keys="\n".join(keys) + "\n")
    groups = []
    for group in ("experiment", "data", "model", "task", "optimizer", "trainer", "attention_maps", "sinks"):
        groups.append(f"  {group}=")
        for option in options(conf, group):
            groups.append(f"      {option:<22}{first_comment(Path(conf) / group / f'{option}.yaml')}")
    comments = default_comments(conf, "train", data="tfds", model="vision_transformer")
    keys = [_key_line(key, "null", comments[key], width=26) for key in MOST_CHANGED]
    return HELP.format(groups="\n".join(groups) + "\n", keys="\n".join(keys) + "\n")


def commented_keys(path):
    """`(dotted key, value as written, comment)` of each key of a YAML file with a comment behind or above it."""
    sections, above = [], ""  # (indent, name) of those that the line stands in; comment lines right above
    # A comment behind a key may go on in the next lines.
    for line in _CONTINUED.sub(r" \1", Path(path).read_text()).splitlines():
        if match := _KEY.fullmatch(line):
            indent, name, value, comment = len(match[1]), match[2], match[3].strip(), match[4] or above
            sections = [section for section in sections if section[0] < indent]
            if comment:
                yield ".".join([*(section[1] for section in sections), name]), value, comment
            sections.append((indent, name))
        above = f"{above} {line[2:]}".strip() if line.startswith("# ") else ""


_CONTINUED = re.compile(r"\n {20,}# +(.*)")
_KEY = re.compile(r"( *)([\w/]+):((?: +[^#\s]\S*(?: [^#\s]\S*)*)?)(?: +# (.*))?")


@functools.cache
def comments_of_option(conf, group, option):
    """`{key: comment}` of all keys of an option, dotted, without the group; what an option says of a key of its own
    defaults comes first."""
    return _comments(Path(conf), Path(conf) / group / f"{option}.yaml")


def _comments(conf, path):
    found, own = {}, {key: comment for key, _, comment in commented_keys(path)}
    for entry in (yaml.safe_load(path.read_text()) or {}).get("defaults", ()):
        if isinstance(entry, str) and entry != "_self_":
            name, _, place = entry.partition("@")
            folder, name = (conf, name[1:]) if name.startswith("/") else (path.parent, name)
            prefix = "" if place in ("", "_here_") else f"{place}."
            # A name may depend on another choice, as in huggingface_${task}.
            pattern = re.sub(r"\$\{\w+\}", "*", f"{name}.yaml")
            bases = () if place == "_global_" else [*folder.glob(pattern)] or [*path.parent.glob(pattern)]
            for base in sorted(bases):
                found |= {f"{prefix}{key}": comment for key, comment in _comments(conf, base).items()}
    return found | own


def comments_of(conf, name, choices):
    """`{key: comment}` of all keys of a composed configuration.

    Args:
        conf: folder of the configuration groups.
        name: `train` or `evaluate`.
        choices: dict of group to option.
    """
    found = {}
    for group, option in choices.items():
        if option and group != "experiment" and (Path(conf) / group / f"{option}.yaml").is_file():
            found |= {f"{group}.{key}": text for key, text in comments_of_option(conf, group, option).items()}
    return found | {key: comment for key, _, comment in commented_keys(Path(conf) / f"{name}.yaml")}


def default_comments(conf, name, **chosen):
    """`comments_of` before anything is typed, but for the `chosen` options."""
    defaults = yaml.safe_load((Path(conf) / f"{name}.yaml").read_text())["defaults"]
    choices = {group: option for entry in defaults if isinstance(entry, dict) for group, option in entry.items()}
    return comments_of(conf, name, choices | chosen)


def explained_yaml(text, comments, prefix=""):
    """The text of a configuration, one key a line as OmegaConf writes it, with the comment of each key: behind it, or,
    where the line would be long, above it."""
    lines, sections = [], []
    for line in text.splitlines():
        if match := re.match(r"( *)([\w/]+):(?: |$)", line):
            indent = len(match[1])
            sections = [*sections[: indent // 2], match[2]]
            comment = comments.get(prefix + ".".join(sections))
            if match[2] == "_target_":
                comment = None  # what stands above it is about the file
            if comment and len(behind := f"{line:<35} # {comment}") <= LINE:
                line = behind
            elif comment:
                lead = f"{match[1]}# "
                lines.append(textwrap.fill(comment, LINE, initial_indent=lead, subsequent_indent=lead))
        lines.append(line)
    return "\n".join(lines)


def _key_line(key, value, comment, width=21):
    default = {"???": " (must be typed)", "null": "", "": ""}.get(value, f" (default {value})")
    lead = f"  {key:<{width}}"
    return textwrap.fill(comment + default, LINE, initial_indent=lead, subsequent_indent=" " * len(lead))


EVALUATE_HELP = """\
vitcross measures a finished run, or shows what its model predicts and where it looks on your own images.

  python evaluate.py run=RUN_FOLDER                     metrics, confusion matrix and maps of the best checkpoint
  python evaluate.py run=RUN_FOLDER split=test          on another split: test, train, unseen, unmarked or misleading
  python evaluate.py run=RUN_FOLDER images='DIR/*.jpg'  predictions and maps for your own images, of any size
  python evaluate.py run=RUN_FOLDER images='DIR/*.jpg' text='What color is the boat?'
                                                        runs with texts: compare, answer, or score a caption

KEYS: override with key=value
{keys}
Results are written to RUN_FOLDER/evaluation/.
"""
