"""Shows where a model attends, in images and texts: captures, map methods, statistics, trust, sheets and the viewer.

The pure functions take and return NumPy arrays and load neither Keras nor TensorFlow; `AttentionMaps`, a Keras
callback, is loaded on first access.
"""

# `capture`, `relevance`, `statistics` and `trust` are functions here, although files or folders have the same names:
# binding them after their modules were loaded keeps a later import of the module from replacing them.
from vitcross.attention_maps.capture.capture import Capture, capture
from vitcross.attention_maps.capture.relevance import RelevanceExplainer, RelevanceMaps, relevance
from vitcross.attention_maps.methods.rollout import (
    layer_maps,
    raw_map,
    raw_maps,
    raw_prefix_mass,
    read_map,
    rollout,
    rollout_map,
)
from vitcross.attention_maps.methods.statistics import (
    artifact_patches,
    entropy,
    head_similarity,
    jensen_shannon,
    mean_distance,
    prefix_mass,
    sink_share,
    statistics,
)
from vitcross.attention_maps.records.probe_text import ProbeText, probe_texts, text_from_user
from vitcross.attention_maps.records.record import AttentionRecord, Prediction, captions, prediction
from vitcross.attention_maps.records.text_part import TextPart
from vitcross.attention_maps.records.trust_report import TrustReport
from vitcross.attention_maps.schedule import capture_steps
from vitcross.attention_maps.sheets.heat_map import heat_map_sheet
from vitcross.attention_maps.sheets.media import AttentionMedia, file_name, folder_name
from vitcross.attention_maps.sheets.notebook import overlay
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import Style
from vitcross.attention_maps.sheets.sheets import sheets
from vitcross.attention_maps.trust.deletion_insertion import deletion_insertion
from vitcross.attention_maps.trust.grounding import box_to_patches, energy_in_box, grounding, pointing_game
from vitcross.attention_maps.trust.trust import Trust, trust
from vitcross.attention_maps.trust.word_grounding import word_grounding
from vitcross.attention_maps.viewer import Viewer, write_viewer

__all__ = [
    "AttentionMaps", "AttentionMedia", "AttentionRecord", "Capture", "Prediction", "ProbeText", "RelevanceExplainer",
    "RelevanceMaps", "Sheet", "Style", "TextPart", "Trust", "TrustReport", "Viewer", "artifact_patches",
    "box_to_patches", "captions", "capture", "capture_steps", "deletion_insertion", "energy_in_box", "entropy",
    "file_name", "folder_name", "grounding", "head_similarity", "heat_map_sheet", "jensen_shannon", "layer_maps",
    "mean_distance", "overlay", "pointing_game", "prediction", "prefix_mass", "probe_texts", "raw_map", "raw_maps",
    "raw_prefix_mass", "read_map", "relevance", "rollout", "rollout_map", "sheets", "sink_share", "statistics",
    "text_from_user", "trust", "word_grounding", "write_viewer",
]  # fmt: skip


def __getattr__(name):
    if name == "AttentionMaps":
        from vitcross.attention_maps.callback import AttentionMaps

        return AttentionMaps
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
