"""What is explained: by default, by name, by number; and what is refused, with the nearest valid names."""

import dataclasses

import numpy as np
import pytest

from tests.attention_maps.test_capture import tiny_model
from tests.attention_maps.text_models import pairs, tiny_text_model
from tests.attention_maps.text_records import scene_texts
from vitcross.attention_maps import choose_target

NAMES = ("circle", "Square", "triangle", "star", "2")


@pytest.fixture(scope="module")
def models():
    kinds = ("dual", "captioner", "questions")
    return {"classifier": tiny_model(), **{kind: tiny_text_model(kind, depth=1) for kind in kinds}}


def chosen(*arguments, **options):
    target, names = choose_target(*arguments, **options)
    assert target.dtype == np.int32 and isinstance(names, tuple)
    return target.tolist(), names


def test_what_the_models_tell_of_themselves(models):
    def told(model):
        towers = [(t.name, t.tokens, t.pooling, t.reads, t.predicts_next) for t in model.towers]
        assert model.attention_addresses == tuple(a for t in model.towers for a in t.attention_addresses)
        return towers, model.num_choices, model.predicts_next

    image, text = ("image_encoder", "patches"), ("text_encoder", "words")
    assert told(models["classifier"]) == ([(*image, "cls", None, False)], 5, False)
    assert told(models["dual"]) == ([(*image, "cls", None, False), (*text, "eos", None, False)], None, False)
    reading = (*text, "eos", "image_encoder", False)
    assert told(models["questions"]) == ([(*image, None, None, False), reading], 7, False)
    decoder = ("text_decoder", "words", None, "image_encoder", True)
    assert told(models["captioner"]) == ([(*image, None, None, False), decoder], None, True)
    for tower, model in (
        (models["dual"].towers[1], models["dual"].text_encoder),
        (models["classifier"].towers[0], tiny_model()),
    ):
        assert (tower.num_heads, tower.embed_dim) == (model.num_heads, model.embed_dim)
    headless = tiny_model(num_classes=None)
    for refuse in (headless.check_explainable, lambda: choose_target(headless, size=1)):
        with pytest.raises(ValueError, match="num_classes=None"):
            refuse()


@pytest.mark.parametrize("kind", ["classifier", "questions"])
def test_the_most_probable_class_or_answer(models, kind):
    logits = np.array([[0, 3, 1, 2, 0], [5, 1, 1, 1, 6.0]])
    assert chosen(models[kind], logits=logits, class_names=NAMES) == ([1, 4], ("Square", "2"))
    assert chosen(models[kind], logits=logits) == ([1, 4], ("1", "4"))
    with pytest.raises(ValueError, match="`logits` must be given"):
        choose_target(models[kind], size=2)


def test_classes_by_name_and_number(models):
    model = models["classifier"]
    assert chosen(model, "star", class_names=NAMES, size=3) == ([3, 3, 3], ("star",) * 3)
    assert chosen(model, "square", class_names=NAMES, size=1) == ([1], ("Square",))
    assert chosen(model, "2", class_names=NAMES, size=1) == ([4], ("2",))  # a name before a number
    assert chosen(model, "3", class_names=NAMES, size=1) == ([3], ("star",))
    assert chosen(model, ["star", "circle"], class_names=NAMES) == ([3, 0], ("star", "circle"))
    assert chosen(model, np.array([4, 0]), class_names=NAMES) == ([4, 0], ("2", "circle"))
    assert chosen(model, [1, 2]) == ([1, 2], ("1", "2"))


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("triangel", NAMES, "one of triangle, circle, Square, star, 2. Received: target='triangel'"),
        ("SQARE", NAMES, "one of Square, "),
        ("zebra", tuple(f"class {k}" for k in range(9)), r"class 0, class 1, class 2, class 3, class 4 and 4 more\. "),
        ("zebra", (), "the numbers of the classes"),
        ("5", NAMES, r"a number in \[0, 5\). Received: target='5'"),
        (np.array([0, 5]), NAMES, r"a number in \[0, 5\). Received: target=5"),
        (np.array([-1, 2]), NAMES, "Received: target=-1"),
        (["star"], NAMES, "one per example"),
    ],
)
def test_classes_that_are_not_there(models, wanted, names, message):
    with pytest.raises(ValueError, match=message):
        choose_target(models["classifier"], wanted, class_names=names, logits=np.zeros((2, 5)))


def test_the_word_for_the_first_object_of_a_caption(models):
    texts = scene_texts(7)
    target, names = choose_target(models["captioner"], texts=texts)
    for text, position, name in zip(texts, target, names, strict=True):
        named = [w for w, boxes in enumerate(text.word_boxes) if boxes is not None]
        word = next(w for w, word in enumerate(text.words) if position in word.tokens)
        assert text.words[word].text == name and position == text.words[word].tokens[0]
        # It stands for the same boxes as the first such word, as do all words from there to it, and none behind it.
        same = [np.array_equal(text.word_boxes[k], text.word_boxes[named[0]]) for k in range(named[0], word + 1)]
        assert all(same) and not np.array_equal(text.word_boxes[word + 1 : word + 2], [text.word_boxes[named[0]]])
    assert len({"star", "circle", "heart", "square", "ring", "cross", "triangle", "crescent"} & set(names)) > 1


def test_the_longest_word_where_no_boxes_are_known(models):
    texts = [dataclasses.replace(text, word_boxes=()) for text in pairs(3)[1]]
    _, names = choose_target(models["captioner"], texts=texts)
    for text, name in zip(texts, names, strict=True):
        assert len(name) == max(len(word.text) for word in text.words)
    nothing = [dataclasses.replace(text, words=(), word_boxes=()) for text in texts]
    target, names = choose_target(models["captioner"], texts=nothing)
    assert target.tolist() == [len(text.tokens) - 1 for text in texts] and set(names) == {"[EOS]"}


def test_words_of_a_caption_by_name_and_position(models):
    (text, other), model = pairs(2)[1], models["captioner"]
    word = text.words[2]
    assert chosen(model, word.text.upper(), texts=[text]) == ([word.tokens[0]], (word.text,))
    last = other.words[-1]
    found = chosen(model, [word.tokens[-1], last.tokens[0]], texts=[text, other])
    assert found == ([word.tokens[-1], last.tokens[0]], (word.text, last.text))
    assert chosen(model, [len(text.tokens) - 1], texts=[text])[1] == ("[EOS]",)
    with pytest.raises(ValueError, match=f"a word of the caption .*{word.text}.*Received: target='{word.text}x'"):
        choose_target(model, word.text + "x", texts=[text])
    for position in (0, len(text.tokens), -1):
        with pytest.raises(ValueError, match=rf"in \[1, {len(text.tokens)}\). Received: target={position}"):
            choose_target(model, [position], texts=[text])
    with pytest.raises(ValueError, match="`texts` must be one `ProbeText`"):
        choose_target(model, "star", size=2)


def test_a_dual_encoder_is_explained_by_its_match(models):
    assert chosen(models["dual"], size=3) == ([0, 0, 0], ("match",) * 3)
    assert chosen(models["dual"], np.array([5, 7])) == ([0, 0], ("match",) * 2)
    with pytest.raises(ValueError, match="the match of image and text. Received: 'star'"):
        choose_target(models["dual"], "star", size=2)
    with pytest.raises(ValueError, match="`size`"):
        choose_target(models["dual"])


def test_a_word_that_not_every_caption_has(models):
    texts = pairs(5)[1]
    words = [{word.text.casefold() for word in text.words} for text in texts]
    word = next(w for w in sorted(set.union(*words)) if 0 < sum(w in known for known in words) < 5)
    model = models["captioner"]
    wanted = model.possible_targets(word.upper(), texts)
    assert wanted == [word.upper() if word in known else None for known in words]
    _, names = choose_target(models["captioner"], wanted, texts=texts)
    assert [name.casefold() == word for name in names] == [word in known for known in words]
    assert list(names) == [
        word if word in known else one
        for known, one in zip(words, choose_target(models["captioner"], texts=texts)[1], strict=True)
    ]
    with pytest.raises(ValueError, match=f"a word of one of the 5 captions: {word}, .*Received: target='{word}x'"):
        model.possible_targets(word + "x", texts)
    with pytest.raises(ValueError, match="of the 1 captions"):
        model.possible_targets(word, [text for text, known in zip(texts, words, strict=True) if word not in known][:1])
    assert models["classifier"].possible_targets("star", texts) == ["star"] * 5
