"""Which examples maps are measured on: those that no capture shows, then shown ones, then training examples; and what
is said of them is computed from the pixels."""

import dataclasses

import numpy as np
import pytest

from tests.attention_maps.records import random_record
from tests.attention_maps.test_capture import batch, tiny_model
from vitcross.attention_maps.records.trust_report import TrustReport, source_words
from vitcross.attention_maps.trust.checks import MapEvaluator
from vitcross.attention_maps.trust.choice import ENOUGH, choose_examples, evaluator_of
from vitcross.evaluation.split_report import spread
from vitcross.experiment.attention_maps import probe_indices


@pytest.mark.parametrize(
    ("validation", "training", "wanted", "counts"),
    [
        (1009, 53, 64, {"validation": 64}),
        (72, 53, 64, {"validation": 64}),
        (43, 53, 64, {"validation": 35}),  # enough without those shown
        (37, 53, 64, {"validation": 32}),  # 29 others, 3 of those shown
        (13, 53, 64, {"validation": 13, "train": 19}),
        (4, 26, 64, {"validation": 4, "train": 26}),
        (4, 3, 64, {"validation": 4, "train": 3}),
        (7, 53, 5, {"validation": 5}),
        (1, 53, 5, {"validation": 1, "train": 4}),
        (1009, 53, 0, {}),
    ],
)
@pytest.mark.parametrize("seed", [0, 11])
def test_examples_are_of_validation_first_and_of_training_where_it_is_small(validation, training, wanted, counts, seed):
    settings = {"num_probes": 8, "num_measured": wanted}
    shown, measured = probe_indices(validation, training, seed, settings)
    assert {split: len(rows) for split, rows in measured.items()} == counts
    assert len(shown) == min(8, validation)
    for split, rows in measured.items():
        assert (np.diff(rows) > 0).all() and rows.min() >= 0, "each once"
        assert rows.max() < {"validation": validation, "train": training}[split]
    # A shown example is measured only where the others are too few.
    others, overlap = validation - len(shown), np.isin(shown, measured.get("validation", ())).sum()
    assert overlap == max(0, min(len(shown), min(wanted, ENOUGH) - others))
    again = probe_indices(validation, training, seed, settings)[1]
    assert all((again[split] == rows).all() for split, rows in measured.items())


def test_another_seed_measures_other_training_examples():
    one, two = (choose_examples("test", [3], [1, 2], 53, 64, seed)["train"] for seed in (0, 1))
    assert len(one) == 29 and (one != two).any()
    of_training = choose_examples("train", spread(np.arange(3, 10), 64), [0, 1, 2], 53, 64)
    assert list(of_training) == ["train"] and list(of_training["train"]) == list(range(10)), "no example twice"
    assert len(choose_examples("validation", np.arange(5), [7], 0, 64)) == 1, "of a limited split"


def test_what_is_said_of_the_shown_images_is_their_real_overlap():
    examples, _ = batch(13)
    examples["valid"] = np.arange(13) != 9

    def report(measured, shown, splits=None):
        rows, probes = ({key: array[k] for key, array in examples.items()} for k in (measured, shown))
        evaluator = MapEvaluator(tiny_model(), rows, splits=splits)
        among = {"splits": evaluator.splits, "measured": evaluator.among(probes)}
        count = int(rows["valid"].sum())
        numbers = {"step": 3, "explainable": 0, "random_deletion": 0.5, "random_insertion": 0.5, "fidelity": {}}
        return TrustReport(examples=count, **numbers, **among)

    splits = ["validation", "validation", "train", "train", "train", "train"]
    apart = report([4, 5, 6, 7, 8, 9], [1, 2, 3], splits)
    assert apart.source == "2 validation and 3 training examples, none of them shown here", "one is not readable"
    some = report([4, 5, 6, 7, 8, 9], [2, 7, 3, 9], splits)
    assert some.measured == (False, True, False)
    assert some.source == "2 validation and 3 training examples, 1 of the 3 images shown here among them"
    assert TrustReport.from_json(some.to_json()) == some
    assert report([2, 7, 3], [7, 2, 3]).source == "3 examples, the ones shown here"
    # The images that a part of a record shows.
    record = dataclasses.replace(random_record(batch=3), trust=some)
    assert record.take([2, 0]).trust.source.endswith(", none of them shown here")
    assert record.take([1]).trust.source.endswith(", the image shown here among them")


def test_examples_of_two_splits_are_one_batch():
    class Data:
        tokenizer, multilabel, class_names = None, False, tuple("abcde")

        def examples(self, split, rows):
            found, _ = batch(len(rows), seed={"test": 3, "train": 5}[split])
            found |= {"mark_box" if split == "train" else "box": np.full((len(rows), 4), 0.5, np.float32)}
            width = {"test": 10, "train": 1}[split]
            valid, answers = np.ones(len(rows), bool), np.zeros((len(rows), width), np.int32)
            return {**found, "valid": valid, "annotator_answers": answers, "index": np.asarray(rows)}

    evaluator = evaluator_of(tiny_model(), Data(), {"test": [1, 4], "train": [2, 3, 5]}, portion=2, seed=0)
    assert (
        evaluator.splits == {"test": 2, "train": 3} and not {"mark_box", "annotator_answers"} & evaluator.batch.keys()
    )
    assert evaluator.batch["box"][:, 0].tolist() == [0.5, 0.5, 0, 0, 0], "unknown in the other split"
    assert evaluator.batch["index"].tolist() == [1, 4, 2, 3, 5]
    assert evaluator.among(Data().examples("train", [9, 9, 9])) == (True, True, True), "the same pixels"
    assert evaluator_of(tiny_model(), Data(), {}, portion=2, seed=0) is None


def test_counts_in_words():
    assert source_words(1, {"validation": 1}) == "1 validation example"
    assert source_words(1210, {"train": 1210}) == "1,210 training examples"
    assert source_words(3, {}) == "3 examples"
