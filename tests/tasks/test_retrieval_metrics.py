import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.tasks.retrieval_metrics import chance_recall, retrieval_metrics


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype("float32")


def oracle(images, texts, image_id, text_id):
    """Rank of every query among the distinct candidates, by looking at each pair of examples."""
    examples = range(len(image_id))
    values = {}
    for name, queries, candidates, query_id, candidate_id in (
        ("image_to_text", images, texts, image_id, text_id),
        ("text_to_image", texts, images, text_id, image_id),
    ):
        ranks = []
        for query in sorted(set(query_id)):
            q = next(i for i in examples if query_id[i] == query)
            right = {candidate_id[j] for j in examples if query_id[j] == query}
            score = {
                c: float(queries[q] @ candidates[next(j for j in examples if candidate_id[j] == c)])
                for c in set(candidate_id)
            }
            best = max(score[c] for c in right)
            ranks.append(1 + sum(score[c] >= best - 1e-6 for c in score if c not in right))
        values |= {f"{name}_r{k}": np.mean([rank <= k for rank in ranks]) for k in (1, 5, 10)}
        values[f"{name}_median_rank"] = np.median(ranks)
    return values


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 31), chunk_size=st.sampled_from([1, 7, 256]))
def test_ranks_equal_those_counted_pair_by_pair(seed, size, chunk_size):
    random = np.random.default_rng(seed)
    images, texts = unit(random.normal(size=(2, size, 5)))
    image_id, text_id = random.integers(0, 17, (2, size)) * 3 + 1
    # Examples of one image have one embedding, and so have equal texts.
    images = images[[list(image_id).index(i) for i in image_id]]
    texts = texts[[list(text_id).index(i) for i in text_id]]
    values = retrieval_metrics(images, texts, image_id, text_id, chunk_size)
    mean_r1 = values.pop("mean_r1")
    assert values == pytest.approx(oracle(images, texts, image_id, text_id))
    assert mean_r1 == pytest.approx((values["image_to_text_r1"] + values["text_to_image_r1"]) / 2)


def test_a_right_model_finds_everything():
    vectors = unit(np.random.default_rng(0).normal(size=(13, 7)))
    values = retrieval_metrics(vectors, vectors, np.arange(13), np.arange(13))
    assert values["image_to_text_r1"] == values["text_to_image_r1"] == values["mean_r1"] == 1.0
    assert values["image_to_text_median_rank"] == 1.0


def test_a_constant_model_is_last_and_not_first():
    same = np.tile(unit(np.arange(1.0, 6.0)), (17, 1))
    values = retrieval_metrics(same, same, np.arange(17), np.arange(17))
    assert values["image_to_text_r10"] == values["text_to_image_r10"] == 0.0
    assert values["image_to_text_median_rank"] == values["text_to_image_median_rank"] == 17.0


def test_nan_embeddings_find_nothing():
    broken = np.full((13, 3), np.nan, "float32")
    assert retrieval_metrics(broken, broken, np.arange(13), np.arange(13))["image_to_text_r10"] == 0.0


def test_one_image_with_several_texts_is_one_query_and_any_of_its_texts_is_right():
    images = np.eye(3, dtype="float32")[[0, 0, 1]]
    texts = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], "float32")  # the first text is wrong, the second right
    values = retrieval_metrics(images, texts, np.array([4, 4, 9]), np.arange(3))
    assert values["image_to_text_r1"] == 0.5  # image 4 is found by its second text
    assert values["text_to_image_r1"] == pytest.approx(1 / 3)


def test_equal_texts_are_right_for_each_others_images():
    images, texts = np.eye(2, dtype="float32"), np.ones((2, 2), "float32") / 2**0.5
    values = retrieval_metrics(images, texts, np.arange(2), np.array([7, 7]))
    assert values["mean_r1"] == 1.0


def test_chance_is_what_random_orders_reach():
    random = np.random.default_rng(0)
    image_id = np.repeat(np.arange(6), 3)
    found = []
    for _ in range(400):
        images, texts = unit(random.normal(size=(6, 4)))[image_id], unit(random.normal(size=(18, 4)))
        found.append(retrieval_metrics(images, texts, image_id, np.arange(18)))
    chance = chance_recall(image_id, np.arange(18))
    assert chance["image_to_text_r1_chance"] == pytest.approx(1 / 6)
    assert chance["text_to_image_r1_chance"] == pytest.approx(1 / 6)
    for key in ("image_to_text_r1", "image_to_text_r5", "text_to_image_r5"):
        assert np.mean([values[key] for values in found]) == pytest.approx(chance[f"{key}_chance"], abs=0.03)
    assert chance["image_to_text_r10_chance"] <= chance["text_to_image_r10_chance"] == 1.0
