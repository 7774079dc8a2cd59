"""Captions and questions of Hugging Face: pairs, equal images, answers, and texts that are encoded as they are read."""

import datasets
import numpy as np
import pytest

from tests.data.huggingface_sets import save, some_images
from vitcross.data import load, text_arrays
from vitcross.data.batch import check_batch

SIZE = (12, 18)
pytestmark = pytest.mark.usefixtures("hugging_face_cache")


def captions(folder, **more):
    return load.huggingface_captions(root=folder, image_size=SIZE, vocabulary_size=300, max_text_length=16, **more)


def test_a_list_of_captions_is_several_pairs(tmp_path):
    texts = [["a b", " c "], [], ["d", "", None, "e f g"], ["h"], None]
    save(tmp_path / "s", image=some_images(5), captions=texts)
    data = captions(tmp_path / "s", validation_split="train[2:4]")
    assert data.train.texts() == ["a b", "c", "d", "e f g", "h"] and data.train.image_ids.tolist() == [0, 0, 1, 1, 2]
    assert data.train.references(3) == ["d", "e f g"] and data.train.text_name(4) == "s/train/3"
    assert [data.train.images.row(k) for k in range(3)] == [0, 2, 3] == [data.train.images.row(k) for k in range(3)]
    np.testing.assert_array_equal(data.train[3]["image"][..., 0].shape, (13, 13))
    assert data.validation.texts() == ["d", "e f g", "h"] and data.validation.image_ids.tolist() == [0, 0, 1]
    assert data.problems.names == {"empty text": ["s/train: 2 of 7 texts", "s/validation: 2 of 5 texts"]}
    for split in data.splits:
        batch = data.examples(split, range(3))
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=0)
        assert [data.tokenizer.decode(row) for row in batch["token_ids"]] == data.source(split).texts()[:3]


@pytest.mark.parametrize("by_path", [False, True])
def test_rows_with_the_same_image_are_one_image(tmp_path, by_path):
    order = [0, 1, 2, 0, 3, 1, 4, 0, 5, 6, 6, 7]
    images = some_images(8)
    # Of the same length, and different in the last byte alone.
    images[5] = images[4][:-1] + bytes([images[4][-1] ^ 1])
    if by_path:
        for k, content in enumerate(images):
            (tmp_path / f"{k}.png").write_bytes(content)
        images = [str(tmp_path / f"{k}.png") for k in range(8)]
    save(tmp_path / "s", image=[images[k] for k in order], text=[f"text {n}" for n in range(12)])
    data = captions(tmp_path / "s", validation_share=0.3)
    shown = {}
    for split in data.splits:
        source = data.source(split)
        for k, text in enumerate(source.texts()):
            image = order[int(text.split()[1])]
            shown.setdefault(split, set()).add(image)
            assert sorted(source.references(k)) == sorted(f"text {n}" for n, each in enumerate(order) if each == image)
        assert len(source.images) == len(shown[split])
    assert not shown["train"] & shown["validation"] and len(shown["validation"]) == 2
    assert shown["train"] | shown["validation"] == set(range(8))


ANSWERS = {
    "text": ["yes", "no", "two", " no "],
    "annotators": [["yes", "no", "no"], ["no"], ["two", "yes"], ["no", "no"]],
    "records": [[{"answer": a, "id": k} for k, a in enumerate(row)] for row in (["yes"], ["no"], ["two"], ["no"])],
    "number": [3, 1, 2, 1],
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_questions_have_answers_of_every_form(tmp_path, kind):
    answers = ANSWERS[kind]
    save(tmp_path / "s", image=some_images(4), question=[f"what is {k}?" for k in range(4)], answers=answers)
    data = load.huggingface_questions(
        root=tmp_path / "s", image_size=SIZE, vocabulary_size=300, validation_split="train[1:]"
    )
    expected = {
        "text": [("yes",), ("no",), ("two",), ("no",)],
        "annotators": [("yes", "no", "no"), ("no",), ("two", "yes"), ("no", "no")],
        "records": [("yes",), ("no",), ("two",), ("no",)],
        "number": [("3",), ("1",), ("2",), ("1",)],
    }[kind]
    most = [max(row, key=lambda answer: (row.count(answer), -row.index(answer))) for row in expected]
    assert [data.train.answers(k) for k in range(4)] == expected and data.question_types == ("question",)
    assert data.class_names == tuple(sorted(set(most)))
    assert [data.class_names[k] for k in data.train.labels()] == most
    batch = data.examples("validation", [2, 0])
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=len(data.class_names))
    assert [data.class_names[k] for k in batch["labels"]] == [most[3], most[1]]
    if kind == "annotators":
        known = [[data.class_names.index(a) if a in data.class_names else -1 for a in row] for row in expected]
        assert batch["annotator_answers"].tolist() == [(known[k] + [-1] * 3)[:3] for k in (3, 1)]


def test_questions_without_an_answer_are_left_out(tmp_path):
    save(tmp_path / "s", image=some_images(4), question=["a", "b", "c", "d"], answer=["x", "", None, "y"])
    data = load.huggingface_questions(
        root=tmp_path / "s", image_size=SIZE, vocabulary_size=300, validation_split="train[:1]"
    )
    assert data.train.texts() == ["a", "d"] and data.problems.names == {"empty answer": ["s/train: 2 of 4 questions"]}


def test_many_texts_are_encoded_as_they_are_read(tmp_path, monkeypatch):
    """The same batches, but for the numbers of equal texts."""
    texts = [f"word {k % 5} of Many" for k in range(13)] + ["WORD 3  of many"]
    save(
        tmp_path / "s",
        {"label": datasets.ClassLabel(names=["u", "v"])},
        image=some_images(14),
        text=texts,
        label=[0, 1] * 7,
    )
    eager = captions(tmp_path / "s")
    monkeypatch.setattr(text_arrays, "MOST_IN_MEMORY", 3)
    lazy = captions(tmp_path / "s")
    assert text_arrays.ON_DEMAND in lazy._text_arrays["train"] and eager.train.texts() == lazy.train.texts()
    indices = [5, 0, 11, 11, 3, 8]
    ours, theirs = lazy.examples("train", indices), eager.examples("train", indices)
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"text_id"}:
        np.testing.assert_array_equal(ours[key], theirs[key])
        assert ours[key].dtype == theirs[key].dtype
    equal = [batch["text_id"][:, None] == batch["text_id"] for batch in (ours, theirs)]
    np.testing.assert_array_equal(*equal)
    check_batch(ours, image_shape=(*SIZE, 3), num_classes=2)


def test_evaluation_may_keep_some_pairs(tmp_path):
    save(tmp_path / "s", image=some_images(9), text=[f"text {k % 2}" for k in range(9)])
    data = captions(tmp_path / "s", validation_split="train", evaluation_examples=4)
    assert data.validation.texts() == data.train.texts()[:4] and len(data.validation.images) == 4
    data = captions(tmp_path / "s", validation_split="train", distinct_texts=True)
    assert data.validation.texts() == ["text 0", "text 1"] and len(data.train) == 9
