"""Rollout through both towers, against Abnar & Zuidema's rule on one long sequence; and who reads what."""

import numpy as np
import pytest

from tests.attention_maps import relevance_reference as reference
from tests.attention_maps.records import random_weights
from tests.attention_maps.text_records import text_record, with_text
from vitcross.attention_maps import raw_map, rollout_map
from vitcross.attention_maps.methods.cross_rollout import (
    cross_raw_map,
    cross_rollout_map,
    token_rollout_maps,
    two_stream_rollout,
)

PREFIX = 2


def records():
    questions = text_record(3, prefix=PREFIX)
    with_map = {
        **questions.text.weights,
        "text_encoder/pooling/cross_attention": random_weights(3, 2, 1, questions.text.padding_mask.shape[1], seed=77),
    }
    return {
        "eos": questions,
        "gap": with_text(questions, pooling="gap"),
        "map": with_text(questions, pooling="map", weights=with_map),
        "captioner": text_record(3, prefix=PREFIX, predicts_next=True),
    }


def joint(record, b, residual=0.5):
    """(T, S): the rows of the text in the rollout of one long sequence."""
    image = [w[b].astype(np.float64) for w in record.self_attention.values()]
    text = [
        (own[b].astype(np.float64), read[b].astype(np.float64))
        for own, read in zip(record.text.self_attention.values(), record.cross_attention.values(), strict=True)
    ]
    length = record.text.padding_mask.shape[1]
    return reference.joint_rollout(image, text, residual)[:length, length:]


TARGET = np.array([3, 1, 5])


def rows_read(record, kind, b):
    """{row: share} of the text tower's rows that answer."""
    length = len(record.text.texts[b].tokens)
    if kind == "eos":
        return {length - 1: 1.0}
    if kind == "gap":
        return dict.fromkeys(range(length), 1 / length)
    if kind == "captioner":
        return {int(TARGET[b]) - 1: 1.0}
    return dict(enumerate(record.text.pooling_weights[b].mean(0)[0].astype(np.float64)))


@pytest.mark.parametrize("kind", ["eos", "gap", "map", "captioner"])
@pytest.mark.parametrize("residual", [0.5, 0.2])
def test_maps_of_the_answer_against_one_long_sequence(kind, residual):
    record = records()[kind]
    found = cross_rollout_map(record, TARGET, residual)
    raw = cross_raw_map(record, TARGET)
    last = list(record.cross_attention.values())[-1]
    for b in range(3):
        rows = joint(record, b, residual)
        shares = rows_read(record, kind, b)
        expected = sum(share * rows[t, PREFIX:] for t, share in shares.items())
        np.testing.assert_allclose(found[b], expected, rtol=1e-5)
        expected = sum(share * last[b, :, t, PREFIX:].mean(0) for t, share in shares.items())
        np.testing.assert_allclose(raw[b], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["eos", "captioner"])
def test_maps_of_tokens_stand_at_their_own_place(kind):
    record = records()[kind]
    found = token_rollout_maps(record)
    assert found.shape == (*record.text.padding_mask.shape, 28)
    for b, text in enumerate(record.text.texts):
        rows, length = joint(record, b)[:, PREFIX:], len(text.tokens)
        if kind == "captioner":
            np.testing.assert_allclose(found[b, 1:length], rows[: length - 1], rtol=1e-5)
            assert not found[b, 0].any()
        else:
            np.testing.assert_allclose(found[b, :length], rows[:length], rtol=1e-5)
        assert not found[b, length:].any() and found[b, 1:length].all()


def test_rows_sum_to_one_over_text_and_image():
    record = records()["eos"]
    blocks = list(zip(record.text.self_attention.values(), record.cross_attention.values(), strict=True))
    count = record.token_layout.num_tokens
    own, to_other = two_stream_rollout(blocks, np.broadcast_to(np.eye(count), (3, count, count)))
    sums = (own.sum(-1) + to_other.sum(-1))[record.text.padding_mask]
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    # Two blocks, half of each layer kept: what is left of the text's own is a quarter.
    np.testing.assert_allclose(own.sum(-1)[record.text.padding_mask], 0.25, rtol=1e-6)
    with pytest.raises(ValueError, match="`blocks`"):
        two_stream_rollout([], np.eye(count)[None])


def test_a_row_that_may_read_nothing_keeps_itself():
    cross = random_weights(1, 2, 3, 5)
    cross[0, :, 1] = 0
    own, to_other = two_stream_rollout([(np.broadcast_to(np.eye(3), (1, 2, 3, 3)), cross)], np.eye(5)[None])
    np.testing.assert_allclose(own[0], np.diag([0.5, 1, 0.5]))
    np.testing.assert_allclose(to_other[0].sum(-1), [0.5, 0, 0.5], rtol=1e-6)


def test_a_dual_encoder_has_the_maps_of_its_image_tower():
    record = text_record(3, dual=True)
    np.testing.assert_array_equal(cross_raw_map(record), raw_map(record))
    np.testing.assert_array_equal(cross_rollout_map(record), rollout_map(record))


def test_a_caption_needs_a_target():
    with pytest.raises(ValueError, match="`target` must say which token"):
        cross_rollout_map(text_record(2, predicts_next=True))
