"""Starts a run from the best weights of another: `init_from=RUN_FOLDER`. The command is checked before
anything heavy is imported; the weights are copied when the network is built.
"""

import json
from pathlib import Path

from vitcross.config import compose
from vitcross.config.compatibility import ConfigError, image_tower, model_sizes
from vitcross.experiment.run_folder import has_checkpoint
from vitcross.height_and_width import height_and_width
from vitcross.terminal import say

# Keys of a vision transformer that leave its weights as they are, or are settled when weights are taken.
WEIGHT_NEUTRAL_KEYS = ("variant", "num_classes", "image_size", "position_interpolation", "layer_norm_epsilon")


def check_init_from(settings):
    """The run that is started from exists, has a checkpoint, and its vision transformer has the sizes of this one.

    Args:
        settings: dict, the validated configuration.

    Raises:
        ConfigError: says what to type where sizes differ.
    """
    folder = settings["init_from"]
    if folder is None:
        return
    source = compose.open_run(folder, key="init_from")
    if not has_checkpoint(folder):
        raise ConfigError(f"init_from must be the folder of a run that has a checkpoint. Received: {folder}")
    _check_words(folder, settings, source)
    (tower, prefix), (their_tower, _) = (image_tower(c["model"]) for c in (settings, source))
    own, known = _shape(tower), _shape(their_tower)
    differing = [key for key in own if own[key] != known.get(key, own[key])]
    # A class token that follows from the pooling is changed by it.
    names = ["pooling" if key == "class_token" and tower["class_token"] is None else key for key in differing]
    if differing:
        typed = " ".join(f"{prefix}.{name}={_text(their_tower[name] or known.get(name))}" for name in names)
        received = ", ".join(f"{prefix}.{name}={_text(tower[name] or own.get(name))}" for name in names)
        raise ConfigError(f"init_from needs the model of its run: type {typed}. Received: {received}")


def _check_words(folder, settings, source):
    """Checks that the tokenizers agree, since token embeddings belong to their tokens."""
    words = Path(folder) / compose.TOKENIZER
    typed = settings["data"].get("tokenizer")
    if settings["model"]["_target_"] != source["model"]["_target_"] or not words.is_file():
        return
    if typed is None or Path(typed).read_bytes() != words.read_bytes():
        raise ConfigError(f"init_from needs the words of its run: type data.tokenizer={words}. Received: {typed}")


def _shape(tower):
    """The options that decide which variables a vision transformer has, and what they mean."""
    sizes = model_sizes(tower) | {"class_token": tower["class_token"] or tower["pooling"] == "cls"}
    kept = {
        k: v
        for k, v in tower.items()
        if k not in (*WEIGHT_NEUTRAL_KEYS, *sizes, "_target_", "pooling") and not k.endswith("_rate")
    }
    kept |= sizes | {"patch_size": height_and_width(sizes["patch_size"])}
    if kept["layer_scale_init"] is not None:
        kept["layer_scale_init"] = "set"  # whatever it is
    return {key: value for key, value in kept.items() if key != "in_channels" or value is not None}


def _text(value):
    return json.dumps(list(value) if isinstance(value, tuple) else value, separators=(",", ":")).strip('"')


def initialize_from(folder, network, class_names):
    """Start a network from the best weights of the run in `folder`; says on the console what it took.

    Raises:
        ValueError: where the weights do not fit.
    """
    from vitcross.experiment.finished_run import open_checkpoint
    from vitcross.training.checkpoint import load_network
    from vitcross.training.initial_weights import initialize

    path, header = open_checkpoint(folder)
    source = compose.instantiate(compose.open_run(folder, key="init_from")["model"])
    load_network(source, path)
    taken = initialize(network, source, same_classes=tuple(header["class_names"]) == tuple(class_names))
    counts = [f"{len(paths)} {how}" for how, paths in taken.items() if paths]
    new = taken["re-initialized"]
    examples = f"; re-initialized: {', '.join(new[:4])}{', ...' if len(new) > 4 else ''}" if new else ""
    say(f"init_from   {path}: variables {', '.join(counts)}{examples}")
