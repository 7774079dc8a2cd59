"""Answers what is typed and does not exist with what was probably meant; it says nothing where nothing is near.

It takes texts and plain dicts; no Hydra.
"""

import re
import shlex
from pathlib import Path

import yaml

from vitcross.config.help_page import comments_of_option, default_comments, options
from vitcross.options.effects import MISSING, value_at
from vitcross.options.synonyms import keys_for, keys_near, normal, options_for, variant_of, why_no_key
from vitcross.typos import did_you_mean, nearest_names

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
SHARDS = (".parquet", ".arrow", ".tar", ".tgz", ".gz")
LIKELY = ("image_folder", "pairs")  # what is meant by a folder or a file before others
# Names of other networks, by how they begin; no model here is like them.
OTHER_NETWORKS = ("resn", "convnext", "efficientnet", "mobilenet", "vgg", "densenet", "regnet", "swin", "unet", "yolo")


def explain(name, text, conf, base):
    """Hydra's message in one line that names the key and the nearest valid one.

    Args:
        name: `train` or `evaluate`.
        text: what Hydra said.
        conf: folder of the configuration groups.
        base: callable without arguments, the composed configuration of the chosen options without single keys.
    """
    if match := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        return option_message(match[1], match[2], conf)
    unknown = re.search(r"Could not (?:override|delete)[^']*'([^']+)'", text)
    if unknown := unknown or re.search(r"No match in the defaults list[^']*'([^']+)'", text):
        key = unknown[1]
        return f"there is no key '{key}'.{key_hint(key, base(), name, conf)} python {name}.py --cfg job prints all keys"
    missing = re.search(r"full_key: ?([\w.]+)", text)
    if missing and "issing mandatory value" in text:
        return f"{missing[1]} must be given: type {missing[1]}=..."
    return " ".join(text.split())


def wrong_choices(overrides, conf):
    """A message for each typed group whose option does not exist, e.g. `data=DIR`."""
    for text in overrides:
        group, _, option = text.lstrip("+").partition("=")
        option = option.strip("'\"")
        known = options(conf, group) if re.fullmatch(r"\w+", group) and (conf / group).is_dir() else ()
        allowed = [*known, "null"] if group == "experiment" else known
        if known and option not in allowed and not option.startswith(("[", "{")):
            yield option_message(group, option, conf)


def option_message(group, option, conf):
    """Says that a group has no such option, what is near, and what there is."""
    known = options(conf, group)
    lacks = f"{group} has no option '{option}'"
    if group == "data" and (hint := place_hint(option, known)):
        return f"{lacks}.{hint}"
    hint = ""
    if group == "model" and (variant := variant_of(option)):
        hint = f" Type model=vision_transformer model.variant={variant}."
    if group == "model" and normal(option).startswith(OTHER_NETWORKS):
        lacks += ": all models here are transformers"
    if not hint and (meant := [name for name in options_for(group, option) if name in known]):
        hint = f" Did you mean {_listed(f'{group}={name}' for name in meant)}?"
    return f"{lacks}.{hint or did_you_mean(option, known)} Options: {', '.join(known)}"


def place_hint(place, known):
    """What to type for data that lie at `place`; nothing where it does not look like a path."""
    path = Path(place).expanduser()
    if not path.exists() and "/" not in place and path.suffix.lower() not in (*TABLES, *SHARDS):
        return ""
    if path.suffix.lower() in TABLES:
        ways = {"pairs": "file", "labels_file": "file"}
        meanings = {"pairs": "images with texts", "labels_file": "images with classes"}
    elif path.suffix.lower() in SHARDS or (path.is_dir() and any(p.suffix in SHARDS for p in path.iterdir())):
        ways, meanings = {"huggingface": "name"}, {}
    elif path.exists() or place.startswith((".", "/", "~")) or place.count("/") > 1:
        ways, meanings = {"image_folder": "root"}, {}
    else:  # ORG/NAME
        ways = {"image_folder": "root", "huggingface": "name"}
        meanings = {"image_folder": "a folder", "huggingface": "of Hugging Face"}
    ways = {option: shlex.join([f"data={option}", f"data.{key}={place}"]) for option, key in ways.items()}
    ways = {option: typed for option, typed in ways.items() if option in known}
    typed = [f"{typed} ({meanings[option]})" if len(ways) > 1 else typed for option, typed in ways.items()]
    lacking = "" if path.exists() or len(ways) > 1 else " (nothing is there now)"
    return f" Type {' or '.join(typed)}{lacking}." if typed else ""


def key_hint(key, config, name, conf):
    """What was meant by a key that does not exist, with a blank before it; nothing where nothing is near.

    Args:
        key: str, dotted.
        config: dict, of the chosen options, with the keys that exist.
        name: `train` or `evaluate`.
        conf: folder of the configuration groups.
    """
    known = [*_dotted_keys(config), "experiment", "hydra.run.dir"]
    section, _, last = key.rpartition(".")
    group = key.partition(".")[0]
    if owners := _options_with(key, conf):
        return f" The chosen {group} has none; type {_listed(f'{group}={owner}' for owner in owners)} too."
    if value_at(config, section, MISSING) is None:
        setting = [e for e in options(conf, "experiment") if value_at(_yaml(conf / f"experiment/{e}.yaml"), section)]
        return f" {section} is null.{f' experiment={setting[0]} sets it.' if setting else ''}"
    meant = keys_for(key, name) or keys_for(last, name)
    if near := _existing(meant, section, known):
        return f" Did you mean {_listed(f'{k!r}' for k in near)}?"
    for candidate in meant:
        if owners := _options_with(candidate, conf):
            choices = _listed(f"{candidate.partition('.')[0]}={owner}" for owner in owners)
            return f" Did you mean '{candidate}', with {choices}?"
    if why := why_no_key(last):
        return f" {why[0].upper()}{why[1:]}."
    if same_leaf := [k for k in known if k.rpartition(".")[2] == normal(last)]:
        return f" Did you mean {_listed(f'{k!r}' for k in same_leaf[:2])}?"
    siblings = {k.rpartition(".")[2]: k for k in known if section and k.rpartition(".")[0] == section}
    if close := nearest_names(last, siblings, most=1):
        return f" Did you mean '{siblings[close[0]]}'?"
    leaves = {k.rpartition(".")[2]: k for k in reversed(known)}
    if close := nearest_names(last, leaves, most=1, cutoff=0.7):
        return f" Did you mean '{leaves[close[0]]}'?"
    if near := _existing(keys_near(last, name), section, known):
        return f" Did you mean {near[0]!r}?"
    return ""


def sibling_hint(last, siblings, name="train"):
    """What was meant by a key beside these; nothing where nothing is near."""
    meant = keys_for(last, name)
    near = [k for k in (key.rpartition(".")[2] for key in meant) if k in siblings] or meant[:1]
    return f" Did you mean '{near[0]}'?" if near else did_you_mean(last, siblings)


def bare_word_hint(text, conf):
    """What was meant by something without `=`; nothing where nothing is near."""
    for group in ("experiment", "data", "model"):
        if text in options(conf, group):
            return f" Did you mean {group}={text}?"
    if (Path(text).expanduser() / "config.yaml").is_file():
        return f" The folder of a run is typed run={text} (evaluate.py) or resume={text} (train.py)."
    return place_hint(text, options(conf, "data")) if Path(text).expanduser().exists() else ""


def without_dashes(arguments, known_flags, name, conf):
    """`key=value` of what was typed as `--key value`; None where a flag says nothing to us.

    Args:
        arguments: list of str, as typed.
        known_flags: those that are no settings.
        name: `train` or `evaluate`.
        conf: folder of the configuration groups.
    """
    typed, leaves = [], {key.rpartition(".")[2]: key for key in reversed(default_comments(conf, name))}
    leaves |= {group: group for group in ("experiment", "data", "model", "task", "optimizer") if name == "train"}
    for place, argument in enumerate(arguments):
        word, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            typed += [argument] if equals else []
            continue
        if argument.partition("=")[0] in known_flags:
            continue
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        if not equals:
            value = "..." if following.startswith("-") or "=" in following else following
        meant = [leaves.get(normal(word)), word if word in leaves.values() else None, *keys_for(word, name)]
        key = next(filter(None, meant), None)
        if key is None:
            return None
        variant = variant_of(value) if key in ("model", "model.variant") else None
        owners = _options_with(key, conf) if key not in leaves.values() else ()
        if variant:
            typed += ["model=vision_transformer", f"model.variant={variant}"]
        elif key == "data" and value not in options(conf, "data") and "/" in value:
            typed += ["data=image_folder", f"data.root={value}"]
        else:
            typed += [*(f"{key.partition('.')[0]}={owner}" for owner in owners[:1]), f"{key}={value}"]
    return shlex.join(typed)


def _existing(meant, section, known):
    """Of the keys that were meant those that exist: beside the typed one, else under their own name, else in a part of
    the model."""
    leaf_names = [key.rpartition(".")[2] for key in meant]
    if beside := [f"{section}.{leaf}" for leaf in leaf_names if section and f"{section}.{leaf}" in known]:
        return beside
    if exact := [key for key in meant if key in known]:
        return exact
    parts = [key.partition(".")[::2] for key in meant if "." in key]
    return [k for k in known if any(k.startswith(f"{group}.") and k.endswith(f".{leaf}") for group, leaf in parts)][:2]


def _options_with(key, conf):
    """The options of a key's group that have the key."""
    group, _, rest = key.partition(".")
    if not rest or not (Path(conf) / group).is_dir():
        return []
    found = [option for option in options(conf, group) if rest in comments_of_option(conf, group, option)]
    return sorted(found, key=lambda option: option not in LIKELY)


def _yaml(path):
    return yaml.safe_load(path.read_text()) or {}


def _listed(names):
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _dotted_keys(node, prefix=""):
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted_keys(value, f"{prefix}{key}.")
