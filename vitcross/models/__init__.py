"""Exports the models, which know nothing of losses, data or logging.

They are loaded on first use: a command is checked with the table of variants before Keras is imported.
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
