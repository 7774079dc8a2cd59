"""The models. They know nothing of losses, data or logging; imported from `vitcross.layers` only.

Loaded on first use: the table of variants is read where a command is checked, before Keras is there.
"""

from vitcross.models.variants import VARIANTS, Variant, parse_variant

__all__ = ["VARIANTS", "Variant", "VisionTransformer", "parse_variant"]


def __getattr__(name):
    if name == "VisionTransformer":
        from vitcross.models.vision_transformer import VisionTransformer

        return VisionTransformer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
