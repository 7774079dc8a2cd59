"""The owner of the logged keys: each declared once, explained, and drawn; runs are held against it where they are made
(`test_shipped_recipes`)."""

import re

import numpy as np
import pytest

from tests.logged_keys import LOGS, ONLY_ELSEWHERE, drawn, drawn_media, is_drawn
from vitcross import metric_keys
from vitcross.attention_maps.sheets.heat_map import heat_map_sheet
from vitcross.metric_keys import EVALUATION, KEYS, MEDIA, RUN, SECTIONS, expand, formatted, label, lookup, mode
from vitcross.sinks.gallery import charts
from vitcross.tasks import classification_metrics, question_metrics, retrieval_metrics, zero_shot

OF_MEDIA = {media.key for media in MEDIA}
# The list of the design: what users and scripts rely on. A `*` stands for what a run names.
PROMISED = [
    "train/{loss,accuracy}", "val/{loss,accuracy}", "optimizer/{learning_rate,gradient_norm}",
    "speed/images_per_second", "val/{image_to_text,text_to_image}_{r1,r5,r10,median_rank}",
    "val/{attribute_accuracy,attribute_accuracy_unseen,bleu4,rouge_l,cider}", "val/accuracy/color",
    "attention_stats/{entropy,distance,prefix_mass,sink_share}/{mean,min,max}",
    "trust/{raw,rollout,relevance,leave_one_out}/{deletion,insertion,gap,gap_low,gap_high,gap_share,sanity,verdict}",
    "trust/{examples,explainable}", "{grounding,grounding_mark}/{raw,relevance}/{pointing,energy,lift}",
    "grounding/words/{block_00,relevance,similarity}/{pointing,energy,lift}",
]  # fmt: skip
PROMISED_MEDIA = [
    "attention/probe", "attention/self/{overlay,heads,layers}", "attention/cross/{words,matrix}", "attention/viewer",
    "attention_stats/{entropy,distance,prefix_mass,sink_share}",
]  # fmt: skip


def test_every_row_is_complete_and_there_once():
    patterns = [row.pattern for row in KEYS]
    assert len(set(patterns)) == len(patterns)
    titles = [row.title for row in KEYS]
    assert len(set(titles)) == len(titles)
    for row in KEYS:
        assert row.title and row.title[0].isupper() and row.meaning and not row.meaning.endswith(".")
        assert row.section in (*SECTIONS, RUN, EVALUATION)
        assert bool(row.not_drawn) or row.section in SECTIONS
    assert len(OF_MEDIA) == len(MEDIA)
    for media in MEDIA:
        assert media.question.endswith("?") and media.section in (*SECTIONS, EVALUATION)


def test_every_key_belongs_to_one_row():
    for row in KEYS:
        keys = [*row.curves, *(f"{key.removesuffix(row.last)}{part}" for key in row.curves for part in row.band)]
        for key in (re.sub("<[^>]*>", "block_00", key) for key in keys):
            assert [other.pattern for other in KEYS if re.fullmatch(other.regex, key)] == [row.pattern]


@pytest.mark.parametrize("pattern", PROMISED)
def test_the_keys_of_the_design_are_declared(pattern):
    for key, _ in expand(pattern):
        assert lookup(key).title


def test_the_media_of_the_design_are_declared():
    assert {key for pattern in PROMISED_MEDIA for key, _ in expand(pattern)} <= OF_MEDIA


@pytest.mark.parametrize(
    "key", ["val", "val/nothing", "trust/raw", "trust/raw/gap/more", "grounding/mark/raw/lift", "a"]
)
def test_a_key_that_nobody_logs_is_refused(key):
    with pytest.raises(KeyError, match="is not declared in vitcross/metric_keys.py"):
        lookup(key)


def test_what_is_declared_is_logged_by_a_shipped_experiment():
    patterns = {row.pattern for row in KEYS if row.section != EVALUATION}
    media = {media.key for media in MEDIA if media.section != EVALUATION}
    assert set().union(*LOGS.values()) | ONLY_ELSEWHERE == patterns | media


def test_what_is_declared_is_drawn_and_nothing_else():
    for row in KEYS:
        keys = [re.sub("<[^>]*>", "block_00", key) for key in row.curves]
        assert all(is_drawn(key) != bool(row.not_drawn) for key in keys), row.pattern
    for pattern in drawn() - {row.regex for row in KEYS}:
        assert lookup(pattern.replace("\\", ""))
    shown = [media.key for media in MEDIA if media.section in SECTIONS]
    assert sorted(drawn_media()) == sorted(shown)


def test_the_lift_on_a_planted_mark_is_drawn_under_the_key_that_is_logged():
    for method in metric_keys.METHODS:
        assert is_drawn(metric_keys.grounding(method, "lift", "grounding_mark"))
        assert not is_drawn(f"grounding/mark/{method}/lift")


def test_evaluation_is_explained_by_the_metric_that_it_repeats():
    assert lookup("evaluation/test/accuracy") is lookup("val/accuracy")
    assert lookup("evaluation/unseen/trust/raw/gap_low") is lookup("trust/raw/gap")
    rows = {"probabilities": np.eye(7), "labels": np.arange(7), "losses": np.ones(7), "num_objects": np.arange(7) % 2}
    answers = {"predictions": np.zeros(3, int), "labels": np.arange(3), "losses": np.ones(3)}
    answers |= {"question_type": np.arange(3), "annotator_answers": np.zeros((3, 2), int)}
    searched = (np.eye(12), np.eye(12), np.arange(12), np.arange(12))
    reports = [
        classification_metrics.report(rows, [str(k) for k in range(7)]),
        question_metrics.report(answers, ["a", "b", "c"]),
        retrieval_metrics.retrieval_metrics(*searched) | retrieval_metrics.chance_recall(*searched[2:]),
        zero_shot.zero_shot_accuracy(np.eye(7), np.eye(7), np.arange(7)),
        dict.fromkeys(("examples", "images", "texts", "unreadable_images"), 1),
    ]
    for report in reports:
        for name, value in report.items():
            assert not np.isscalar(value) or lookup(metric_keys.evaluation("test", name)).title


@pytest.mark.parametrize(
    ("key", "best"),
    [("val/accuracy", "max"), ("val/mean_r1_ema", "max"), ("val/cider", "max"), ("val/attribute_accuracy", "max"),
     ("val/loss_unseen", "min"), ("val/image_to_text_median_rank", "min")],
)  # fmt: skip
def test_which_value_is_the_best(key, best):
    assert mode(key) == best


def test_a_number_of_which_neither_more_nor_less_is_better_chooses_nothing():
    with pytest.raises(ValueError, match="of which more, or less, is better. Received: 'optimizer/learning_rate'"):
        mode("optimizer/learning_rate")


def test_labels_and_values_as_they_are_shown():
    assert label("val/accuracy_ema") == "Accuracy, average of the weights"
    assert label("val/accuracy") == "Accuracy, validation" and label("parameters") == "Parameters"
    assert label("val/loss_unseen_ema") == "Loss, unseen combinations, average of the weights"
    assert [formatted("val/accuracy", 0.9834), formatted("parameters", 12345), formatted("val/loss", 0.43125)] == [
        "98.3%", "12,345", "0.4313",
    ]  # fmt: skip


def test_gallery_and_heat_map_say_the_same_of_a_statistic():
    (chart,) = [chart for chart in charts.HEALTH if chart.title == "Sink share"]
    sheet = heat_map_sheet("sink_share", [0], np.ones((1, 2)))
    assert sheet.title == chart.title and chart.meaning.split(";")[0] in sheet.caption.replace("Share", "share")
