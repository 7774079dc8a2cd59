"""The models. They know nothing of losses, data or logging; imported from `vitcross.layers` only.

Loaded on first use: the table of variants is read where a command is checked, before Keras is there.
"""

import importlib

from vitcross.models.variants import VARIANTS, Variant, parse_variant

_MODULES = {
    "CaptioningModel": "captioning_model",
    "DualEncoder": "dual_encoder",
    "QuestionAnsweringModel": "question_answering_model",
    "TextTransformer": "text_transformer",
    "VisionTransformer": "vision_transformer",
    "generate": "generation",
}

__all__ = [
    "VARIANTS",
    "CaptioningModel",
    "DualEncoder",
    "QuestionAnsweringModel",
    "TextTransformer",
    "Variant",
    "VisionTransformer",
    "generate",
    "parse_variant",
]


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"vitcross.models.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
