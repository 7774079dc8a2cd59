"""Checks that the values of a configuration fit each other, and fills in those that only the data knows.

It takes plain dicts and does not import TensorFlow.
"""

from vitcross.data.scenes.scene import SHAPES, SceneOptions
from vitcross.height_and_width import height_and_width
from vitcross.models.variants import parse_variant


class ConfigError(ValueError):
    """What was typed cannot be run; the message names the key, the rule and what was received."""


# Which models a task trains, and on which data.
KINDS = {
    "Classification": (("VisionTransformer",), ("tfds", "scenes", "image_folder", "labels_file", "huggingface")),
    "Multilabel": (("VisionTransformer",), ("tfds", "scenes", "labels_file", "huggingface")),
    "Contrastive": (("DualEncoder",), ("scene_texts of captions", "pairs", "tfds_captions", "huggingface_captions")),
    "Captioning": (("CaptioningModel",), ("scene_texts of captions", "pairs", "tfds_captions", "huggingface_captions")),
    "QuestionAnswering": (("QuestionAnsweringModel",), ("scene_texts of questions", "pairs", "huggingface_questions")),
}
# What evaluate.py must be told about the user's images.
NEEDS_TEXT = {
    "Contrastive": "what the images are compared with, text='a red star'; or names, classes=[star,ring]",
    "QuestionAnswering": "the question, text='What color is the star?'",
}
TEXT_TOWERS = ("text_encoder", "text_decoder")


def check_kind(config):
    """Checks that task, model and data are made for each other.

    Raises:
        ConfigError
    """
    task, model, data = (config[group]["_target_"].rpartition(".")[2] for group in ("task", "model", "data"))
    data += f" of {config['data']['texts']}" if "texts" in config["data"] else ""
    loss, bias = config["task"].get("loss"), config["model"].get("logit_bias_init", 0)
    if task == "Contrastive" and loss == "sigmoid" and bias is None:
        raise ConfigError(
            "model.logit_bias_init must be a number with task.loss=sigmoid; SigLIP: model.logit_bias_init=-10 "
            "model.logit_scale_init=10. Received: null"
        )
    models, sources = KINDS[task]
    if model not in models or data not in sources:
        raise ConfigError(
            f"task {task} trains the model {' or '.join(models)} on data of {' or '.join(sources)}. "
            f"Received: model {model}, data {data}; experiment=NAME chooses all three"
        )
    if config["data"].get("multilabel") is not None:  # a table may tell only when it is read
        check_labels(config, config["data"]["multilabel"])


def check_labels(config, multilabel):
    """Checks that the task and the data agree on whether an image has one label or several (`multilabel`).

    Raises:
        ConfigError
    """
    task, has = config["task"]["_target_"].rpartition(".")[2], "several labels" if multilabel else "one label"
    if task in ("Classification", "Multilabel") and (task == "Multilabel") != multilabel:
        decides = "; data.multilabel decides" if "multilabel" in config["data"] else ""
        raise ConfigError(
            f"task=classification trains on data with one label per image, task=multilabel on several{decides}. "
            f"Received: task={task.lower()}, and data with {has} per image"
        )


def check_own_text(config, settings):
    """Checks whether a run can use the text that was typed for the user's images, or needs one.

    Args:
        config: dict, of the run.
        settings: dict, of the evaluation, with `images` and `text`.

    Raises:
        ConfigError
    """
    task, text = config["task"]["_target_"].rpartition(".")[2], settings["text"]
    if settings["images"] is None and (text is not None or settings["classes"]):
        raise ConfigError("text and classes need images to apply to: images='DIR/*.jpg'")
    if task in ("Classification", "Multilabel") and text is not None:
        raise ConfigError(f"text is for runs of images with texts; this one classifies images. Received: {text}")
    if settings["classes"] and (task != "Contrastive" or text is not None):
        raise ConfigError(
            f"classes are for contrastive runs, and instead of a text. Received: classes={settings['classes']}"
        )
    if settings["classes"] and len(set(settings["classes"])) < 2:
        raise ConfigError(
            "classes must be at least 2 different names to choose from; text='a boat' compares the images with one "
            f"text. Received: classes={settings['classes']}"
        )
    if any("{}" not in template for template in settings["templates"]):
        raise ConfigError(f"templates must have {{}} for the name of a class. Received: {settings['templates']}")
    if settings["target"] is not None and settings["images"] is None:
        raise ConfigError(f"target needs images to apply to: images='DIR/*.jpg'. Received: {settings['target']}")
    if settings["target"] is not None and task == "Contrastive":
        raise ConfigError(
            f"target is a class, an answer or a word; of a contrastive run the match is explained. "
            f"Received: {settings['target']}"
        )
    if settings["images"] is not None and task in NEEDS_TEXT and not text and not settings["classes"]:
        raise ConfigError(f"text must be given: {NEEDS_TEXT[task]}")


def image_tower(model):
    """`(keys, prefix)`: the section of a model for its vision transformer, and the prefix of its keys."""
    if "image_encoder" in model:
        return model["image_encoder"], "model.image_encoder"
    return model, "model"


def text_tower(model):
    """`(keys, prefix)` of the part that reads or writes text; `(None, None)` for a model of images alone."""
    for name in TEXT_TOWERS:
        if name in model:
            return model[name], f"model.{name}"
    return None, None


def model_sizes(model, prefix="model"):
    """`embed_dim`, `depth`, `num_heads`, `patch_size` of a vision transformer: what is typed, else what the variant
    says.

    Raises:
        ConfigError: an unknown variant, or a size that nobody sets.
    """
    try:
        variant, patch_of_variant = parse_variant(model["variant"]) if model["variant"] else (None, None)
    except ValueError as error:
        raise ConfigError(f"{prefix}.variant: {error}") from error
    sizes = {key: model[key] or getattr(variant, key, None) for key in ("embed_dim", "depth", "num_heads")}
    sizes["patch_size"] = model["patch_size"] or patch_of_variant
    for key, value in sizes.items():
        if value is None:
            raise ConfigError(f"{prefix}.{key} must be set where {prefix}.variant is null")
    return sizes


def check_model(model, data):
    """Checks that patches divide images, that heads divide embed_dim, and that the model fits its data; sizes that only
    the data knows are checked once it is loaded.

    Raises:
        ConfigError
    """
    vision, prefix = image_tower(model)
    _check_image_tower(vision, data, prefix)
    text, text_prefix = text_tower(model)
    if text is None:
        return
    _check_heads(text, text_prefix)
    owners = {"max_length": ("data.max_text_length", data["max_text_length"])}
    if text["cross_attention"]:
        owners["context_dim"] = (f"{prefix}.embed_dim", model_sizes(vision, prefix)["embed_dim"])
    for key, (owner, value) in owners.items():
        if text[key] not in (None, value):
            raise ConfigError(f"{text_prefix}.{key} must equal {owner}, {value}. Received: {text[key]}")


def with_context_dim(model):
    """A model whose text tower reads images knows the embed_dim of what it reads, also where a variant says it."""
    text, prefix = text_tower(model)
    if text is None or not text.get("cross_attention") or text.get("context_dim", 0) is not None:
        return model
    try:
        embed_dim = model_sizes(*image_tower(model))["embed_dim"]
    except (ConfigError, KeyError):  # validation names what is wrong
        return model
    return model | {prefix.partition(".")[2]: text | {"context_dim": embed_dim}}


def _check_heads(sizes, prefix):
    embed_dim, heads = sizes["embed_dim"], sizes["num_heads"]
    if embed_dim % heads:
        raise ConfigError(
            f"{prefix}.num_heads must divide {prefix}.embed_dim. "
            f"Received: {prefix}.num_heads={heads}, {prefix}.embed_dim={embed_dim}"
        )


def _check_image_tower(model, data, prefix):
    sizes = model_sizes(model, prefix)
    embed_dim, patch_size = sizes["embed_dim"], height_and_width(sizes["patch_size"])
    _check_heads(sizes, prefix)
    if model["position_embedding"] == "sincos2d" and embed_dim % 4:
        raise ConfigError(
            f"{prefix}.embed_dim must be a multiple of 4 for sincos2d. Received: {prefix}.embed_dim={embed_dim}"
        )
    if model["stem"] == "conv" and patch_size != (8, 8):
        raise ConfigError(f"{prefix}.patch_size must be 8 with {prefix}.stem=conv. Received: {patch_size}")
    depths = list(model["stem_depths"])
    if model["stem"] == "linear" and depths != [1, 1, 1]:
        raise ConfigError(f"{prefix}.stem_depths must be [1, 1, 1] with {prefix}.stem=linear. Received: {depths}")
    if prefix != "model" and model["num_classes"] is not None:
        raise ConfigError(
            f"{prefix}.num_classes must be null: an image encoder gives features, no classes. "
            f"Received: {model['num_classes']}"
        )
    owners = {"in_channels": "channels"} | ({"num_classes": "num_classes"} if prefix == "model" else {})
    for key, owner in owners.items():
        if None not in (model[key], data[owner]) and model[key] != data[owner]:
            raise ConfigError(f"{prefix}.{key} must equal data.{owner}, {data[owner]}. Received: {model[key]}")
    if data["image_size"] is None:
        return
    image_size = height_and_width(data["image_size"])
    if model["image_size"] is not None and height_and_width(model["image_size"]) != image_size:
        raise ConfigError(
            f"{prefix}.image_size must equal data.image_size, {image_size}. Received: {model['image_size']}"
        )
    if model["stem"] == "linear" and any(i % p for i, p in zip(image_size, patch_size, strict=True)):
        raise ConfigError(
            f"{prefix}.patch_size must divide data.image_size. Received: {prefix}.patch_size={patch_size}, "
            f"data.image_size={image_size}"
        )


def check_data(data):
    """Checks the options of scenes with the class that will draw them.

    Raises:
        ConfigError
    """
    if data["image_size"] is None or "scene_seed" not in data:
        return
    try:
        SceneOptions(
            image_size=data["image_size"],
            seed=data["scene_seed"],
            target_color=data["target_color"],
            max_objects=data["max_objects"],
        )
        if data["_target_"] == "vitcross.data.load.scenes" and data["num_classes"] not in (None, len(SHAPES)):
            raise ValueError(f"num_classes of scenes must be {len(SHAPES)}. Received: {data['num_classes']}")
    except (ValueError, TypeError) as error:
        raise ConfigError(f"data: {error}") from error


def check_accumulation(config):
    """Checks gradient accumulation: microbatches must be equal, and the loss a mean over rows.

    Raises:
        ConfigError
    """
    microbatches, data = config["trainer"]["accumulate_steps"], config["data"]
    images = data["batch_size"] // (data.get("texts_per_image") or 1)
    if images % microbatches:
        raise ConfigError(
            f"trainer.accumulate_steps must divide the {images} images of a batch. Received: {microbatches}"
        )
    if microbatches > 1 and config["task"]["_target_"].endswith("Contrastive"):
        raise ConfigError(
            "trainer.accumulate_steps must be 1 with contrastive losses, which compare all rows of a batch; "
            f"task.chunk_size saves memory there. Received: {microbatches}"
        )


def fill_from_dataset(config, facts):
    """The configuration with what only the data knows, as `config.yaml` keeps it: every key of the data and of the
    model (and its towers) that the facts name.

    Args:
        config: dict, validated.
        facts: dict of key to value, e.g. `num_classes`, `image_size`, `vocabulary_size`.

    Raises:
        ConfigError: a key of the model that the data decides was typed with another value, or a task that does not fit
            the labels of the data.
    """
    check_labels(config, facts.get("multilabel", False))
    data = config["data"] | {
        key: facts[key] for key in ("num_classes", "image_size", "channels", "value_range") if key in facts
    }
    return config | {"data": data, "model": _filled_model(config["model"], facts, "model")}


def _filled_model(section, facts, prefix):
    filled = {}
    for key, value in section.items():
        if isinstance(value, dict):
            # An image encoder gives features: the number of classes is that of the whole model.
            inner = {name: fact for name, fact in facts.items() if name not in ("num_classes", "multilabel")}
            filled[key] = _filled_model(value, inner, f"{prefix}.{key}")
        elif key in facts:
            known = facts[key]
            comparable = height_and_width if key == "image_size" else lambda same: same
            if value is not None and comparable(value) != comparable(known):
                raise ConfigError(f"{prefix}.{key} must be that of the data, {known}. Received: {value}")
            filled[key] = known
        else:
            filled[key] = value
    return filled
