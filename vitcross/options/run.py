"""Declares the options of trainer, attention maps and sinks; `conf/` explains them."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from vitcross.options.effects import only_above, only_with
from vitcross.options.fields import Bool, Count, CountOrZero, Length, NonNegative, Positive, ShareOrAll, options


@options
class Style:
    """How sheets of attention maps are drawn.

    Args:
        opacity: of the colors over the image.
        color_map: `"viridis"` or `"inferno"`.
        resampling: `"nearest"` or `"bilinear"`.
        panel_size: longer side of a panel in pixels; less where the sheet would be wider than 2600.
    """

    opacity: ShareOrAll = 0.7
    color_map: Literal["viridis", "inferno"] = "viridis"
    resampling: Literal["nearest", "bilinear"] = "nearest"
    panel_size: Count = 192


@options
class AttentionMapsOptions(Style):
    enabled: Bool
    num_probes: Count
    captures: Count
    every: Count | None
    num_measured: CountOrZero
    trust_captures: CountOrZero
    record_megabytes: Positive

    MATTERS: ClassVar = {"captures": only_with("every", None), "trust_captures": only_above(0, "num_measured")}


@options
class TrainerOptions:
    steps: Length | None
    epochs: Length | None
    evaluate_every: Length
    log_every: Length
    checkpoint_every: Length | None
    checkpoint_minutes: Positive | None
    keep_checkpoints: Count
    early_stopping: Length | None
    accumulate_steps: Count
    deterministic: Bool | Literal["auto"]
    jit_compile: Bool | Literal["auto"]
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16"]


def _wandb_text(most, forbidden=""):
    """The type of a text that Weights & Biases takes: up to `most` characters, none of the `forbidden` ones.

    The rules are those of wandb 0.31 (`wandb_settings.validate_project`, `validate_run_tags`) and of its server, whose
    refusal would come when the run is on its way.
    """

    def check(text):
        found = [character for character in forbidden if character in text]
        if not text.strip() or len(text) > most or found or not text.isprintable():
            without = f", without {' '.join(forbidden)}" if forbidden else ""
            has = " ".join(found) or len(text)
            raise PydanticCustomError("wandb", f"1 to {most} printable characters{without}; it has {has}")
        return text

    return Annotated[str, AfterValidator(check)]


def _server(url):
    if not re.match(r"https?://[^\s/]+", url):
        raise PydanticCustomError("wandb", "an address that begins with https:// or http://")
    if re.fullmatch(r"https?://(www\.|app\.)?wandb\.ai/?.*", url):
        raise PydanticCustomError("wandb", "https://api.wandb.ai or the address of your own server")
    return url


PartOfAddress = _wandb_text(128, "/\\#?%:")
Label = _wandb_text(128)
Tag = _wandb_text(64)


@options
class WeightsAndBiasesOptions:
    mode: Literal["auto", "online", "offline", "disabled"]
    entity: PartOfAddress | None
    project: PartOfAddress
    group: Label | None
    name: Label | None
    tags: list[Tag]
    base_url: Annotated[str, AfterValidator(_server)] | None
    init_timeout: Positive
    finish_timeout: Positive

    MATTERS: ClassVar = {key: only_with("mode", "auto", "online") for key in ("init_timeout", "finish_timeout")}


@options
class ConsoleOptions:
    progress: Literal["auto", "bar", "lines"]
    seconds_between_lines: NonNegative

    MATTERS: ClassVar = {"seconds_between_lines": only_with("progress", "auto", "lines")}


@options
class SinksOptions:
    wandb: WeightsAndBiasesOptions
    console: ConsoleOptions
