"""The models. They know nothing of losses, data or logging; imported from `vitcross.layers` only."""

from vitcross.models.variants import VARIANTS, Variant, parse_variant
from vitcross.models.vision_transformer import VisionTransformer

__all__ = ["VARIANTS", "Variant", "VisionTransformer", "parse_variant"]
