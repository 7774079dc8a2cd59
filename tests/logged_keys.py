"""What a run logged, held against what `vitcross.metric_keys` declares and what the gallery and the dashboard draw."""

import json
import re

from vitcross import dashboard, metric_keys
from vitcross.attention_maps.sheets.media import file_name
from vitcross.sinks.gallery import charts

TRAINING = {
    *("{train,val}/loss", metric_keys.LEARNING_RATE, metric_keys.GRADIENT_NORM, metric_keys.IMAGES_PER_SECOND),
    *("epoch", "state", "steps", "parameters", "best/{metric,value,checkpoint}", metric_keys.PEAK_MEMORY),
    "time/{to_first_step,training_steps,validation,checkpoints,attention_maps,trust,total}_seconds",
}
MAPS = {
    *(f"attention_stats/{name}/mean" for name in ("entropy", "distance", "sink_share")),
    *(f"attention_stats/{name}" for name in ("change", "head_similarity", "artifact_patches")),
    *(metric_keys.OVERLAY, metric_keys.METHODS_SHEET, metric_keys.LAYERS, metric_keys.PROBE, metric_keys.HEADS),
    *(metric_keys.VIEWER, metric_keys.ANIMATION),
    *(f"attention_stats/{name}" for name in ("entropy", "distance", "sink_share")),
}
WORDS = {f"grounding/words/<layer>/{measure}" for measure in ("pointing", "lift", "energy")}
_METHODS = f"{{{','.join(metric_keys.METHODS)}}}"
_WITH_RANDOM = f"{{{','.join(metric_keys.METHODS)},random}}"
TRUST = {
    *(f"trust/{_METHODS}/{measure}" for measure in ("verdict", "gap", "gap_share", "sanity")),
    *(f"trust/{_WITH_RANDOM}/{measure}" for measure in ("deletion", "insertion")),
    *(f"grounding/{_METHODS}/{measure}" for measure in ("pointing", "lift", "energy")),
    "trust/{examples,explainable}",
}
CROSS = {
    *(metric_keys.WORDS, metric_keys.MATRIX, metric_keys.WORD_RELEVANCE, metric_keys.statistic("cross_entropy")),
    "attention_stats/cross_entropy/mean",
}
# What a shipped experiment has to log, at least: together all that is declared, but for evaluate.py's.
LOGS = {
    "classification": TRAINING | MAPS | {"{train,val}/accuracy"},
    "cifar10_small_vit": {
        *TRAINING | MAPS | {"{train,val}/accuracy", "val/top5_accuracy"},
        *("attention_stats/prefix_mass/mean", "attention_stats/prefix_mass"),
    },
    "scenes_watermark": {
        *TRAINING | MAPS | TRUST,
        *("{train,val}/accuracy", "val/accuracy/<group>", "val/top5_accuracy"),
        *(f"grounding_mark/{_METHODS}/{measure}" for measure in ("pointing", "lift", "energy")),
    },
    "scenes_multilabel": {
        *TRAINING | MAPS | {metric_keys.LABELS},
        *("val/mean_average_precision", "val/f1", "val/threshold", "val/calibration_error"),
    },
    "contrastive": {
        *TRAINING | MAPS | WORDS,
        *("{train,val}/accuracy", "val/{image_to_text,text_to_image,mean}_r1"),
        *("val/{image_to_text,text_to_image}_r{5,10}", "val/{image_to_text,text_to_image}_median_rank"),
        *(metric_keys.SIMILARITY, metric_keys.TEXT),
    },
    "captioning": {
        *TRAINING | MAPS | WORDS | CROSS,
        *("{train,val}/token_accuracy", "val/attribute_accuracy", "val/attribute_accuracy/<kind>"),
        *("val/attribute_accuracy_all_objects", "val/cider", "val/{bleu4,rouge_l}"),
    },
    "vqa": TRAINING | MAPS | WORDS | CROSS | {"{train,val}/accuracy", "val/accuracy/<group>", metric_keys.TEXT},
}
# No data that is shipped has several annotators, and no image of the tests is broken.
ONLY_ELSEWHERE = {"val/vqa_accuracy", metric_keys.UNREADABLE_IMAGES}
OUTPUT_LOCATIONS = {"run_folder", "gallery", "viewer", "wandb_url", "exit_code"}


def logged(folder):
    """Keys of numbers, of images and pages that a run folder holds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    numbers = {key for row in rows for key in row} | set(json.loads((folder / "summary.json").read_text()))
    files = {file.name for file in (folder / "attention").glob("**/*")}
    made = {file_name(media.key): media.key for media in metric_keys.MEDIA}
    sheets = {file for file in files if file.endswith(".png")} - {"thumbnails.png"}
    assert sheets <= set(made), "an image that no key declares"
    pages = {"viewer.html": metric_keys.VIEWER, "evolution.gif": metric_keys.ANIMATION}
    media = {made[file] for file in sheets} | {key for file, key in pages.items() if file in files}
    return numbers - {"step"} - OUTPUT_LOCATIONS, media


def check_logged(folder, required):
    """Logged = declared = drawn, and nothing of the patterns that are required is missing."""
    numbers, media = logged(folder)
    patterns = {metric_keys.lookup(key).pattern for key in numbers}
    assert required <= patterns | media, f"not logged: {sorted(required - patterns - media)}"
    for key in numbers:
        assert is_drawn(key) != bool(metric_keys.lookup(key).not_drawn), key
    assert media <= set(drawn_media())


def drawn():
    """Regular expressions of the keys that gallery and dashboard draw."""
    titles = {chart.title for chart in (*charts.TRUST, *charts.HEALTH, *charts.TRAINING)}
    rows = {row.title: row.regex for row in metric_keys.KEYS}
    found = {rows[title] for title in titles}
    for panel in (panel for section in dashboard.SECTIONS for panel in section.panels):
        if isinstance(panel, dashboard.LinePanel):
            found |= {re.escape(key) for key in panel.keys} | ({panel.regex} if panel.regex else set())
    return found


def is_drawn(key):
    """Whether the gallery or the dashboard draws a number."""
    return any(re.fullmatch(pattern, key) for pattern in drawn())


def drawn_media():
    """Keys of images and pages that the dashboard shows, in the order of its panels."""
    panels = [panel for section in dashboard.SECTIONS for panel in section.panels]
    return [key for panel in panels if isinstance(panel, dashboard.Images) for key in panel.keys]
