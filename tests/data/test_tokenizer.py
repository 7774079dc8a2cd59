"""Tokenizers: round trips, places in the text, and the same one for the same texts in every process."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.data.tokenizer import SPECIAL_TOKENS, Tokenizer
from vitcross.options.data import TOKENIZER_KINDS

TEXTS = [
    "A small red star is left of a large blue ring.",
    "A medium red circle is above a small white crescent. There is also a small green heart.",
    "Where is the red object, seen from the cyan object?",
    "Tux and spider - two friends.",
    "An Adelaide Rosella.",
]


@pytest.fixture(scope="module", params=TOKENIZER_KINDS)
def tokenizer(request):
    return Tokenizer.train(TEXTS, vocabulary_size=400, kind=request.param)


def test_special_tokens_have_their_places(tokenizer):
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert len(SPECIAL_TOKENS) < tokenizer.vocabulary_size <= 400


def test_rows_are_framed_and_padded(tokenizer):
    token_ids, padding_mask, truncated = tokenizer.encode(["A star.", "", TEXTS[1]], max_length=7)
    assert token_ids.shape == padding_mask.shape == (3, 7)
    assert (token_ids.dtype, padding_mask.dtype, truncated.dtype) == (np.int32, np.bool_, np.bool_)
    assert truncated.tolist() == [False, False, True]
    lengths = padding_mask.sum(1)
    assert lengths[1] == 2 and lengths[2] == 7
    for row, mask, length in zip(token_ids, padding_mask, lengths, strict=True):
        assert mask[:length].all() and not row[length:].any()
        assert (row[0], row[length - 1]) == (tokenizer.bos_id, tokenizer.eos_id)
        assert (row[1 : length - 1] > 3).all()


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back_in_lower_case(text):
    tokenizer = Tokenizer.train(TEXTS, vocabulary_size=300)
    row = tokenizer.encode([text], max_length=99)[0][0]
    assert tokenizer.decode(row) == text.lower()
    wordpiece = Tokenizer.train(TEXTS, vocabulary_size=300, kind="wordpiece")
    assert wordpiece.decode(wordpiece.encode([text], max_length=99)[0][0]).split() == text.lower().split()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_byte_level_tokens_know_every_character(text):
    tokenizer = _bpe()
    row = tokenizer.encode([text], max_length=150)[0][0]
    assert tokenizer.unk_id not in row
    assert tokenizer.decode(row) == tokenizer.normalize(text).strip()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30, alphabet=st.characters(exclude_categories=["Cs"])), st.integers(3, 25))
def test_tokens_are_aligned_with_the_row_and_words_with_the_text(text, length):
    tokenizer = _bpe()
    mask = tokenizer.encode([text], max_length=length)[1][0]
    tokens = tokenizer.tokens(text, max_length=length)
    assert len(tokens) == mask.sum()
    assert tokens[0] == ("[BOS]", 0, 0, -1) and tokens[-1] == ("[EOS]", 0, 0, -1)
    numbers = [token.word for token in tokens[1:-1]]
    assert numbers == sorted(numbers)
    end = 0
    for word in tokenizer.words(text, max_length=length):
        assert word.text == text[word.start : word.end] and word.start >= end and word.text.strip() == word.text
        assert all(tokens[k].word == tokens[word.tokens[0]].word for k in word.tokens)
        end = word.end


def test_sub_words_of_a_word_are_one_word(tokenizer):
    text = "  A starring\tring's RED"
    words = tokenizer.words(text, max_length=40)
    assert [word.text for word in words][:3] == ["A", "starring", "ring"] and words[-1].text == "RED"
    assert len(words[1].tokens) > 1
    assert [text[word.start : word.end] for word in words] == [word.text for word in words]
    positions = [k for word in words for k in word.tokens]
    assert positions == list(range(1, len(tokenizer.tokens(text, max_length=40)) - 1))
    cut = tokenizer.words(text, max_length=4)
    assert [k for word in cut for k in word.tokens] == [1, 2]


def test_a_word_is_the_same_token_everywhere(tokenizer):
    first, inside = tokenizer.encode(["red", "A red"], max_length=9)[0]
    assert first[1] == inside[2]


def test_texts_that_look_the_same_are_the_same(tokenizer):
    assert tokenizer.normalize(" A  Caf\u00e9\n") == tokenizer.normalize("a cafe\u0301") == "a caf\u00e9"


def test_special_tokens_are_not_read_from_the_text(tokenizer):
    row = tokenizer.encode(["a [PAD] [EOS] star"], max_length=40)[0][0]
    assert (row == tokenizer.eos_id).sum() == 1 and (row[: np.argmax(row == tokenizer.eos_id)] != 0).all()


def test_what_was_saved_is_loaded(tokenizer, tmp_path):
    path = tmp_path / "run" / "tokenizer.json"
    tokenizer.save(path)
    again = Tokenizer.load(path)
    for a, b in zip(tokenizer.encode(TEXTS, max_length=23), again.encode(TEXTS, max_length=23), strict=True):
        np.testing.assert_array_equal(a, b)
    again.save(tmp_path / "again.json")
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["tokenizer.json"]


def test_the_same_texts_give_the_same_tokenizer_in_every_process(tmp_path):
    """The order of hash tables differs from process to process, and with it, untamed, the vocabulary."""
    code = (
        "import random, sys\n"
        "from tests.data.test_tokenizer import TEXTS\n"
        "from vitcross.data.tokenizer import Tokenizer\n"
        "texts = [f'{text} {k % 7} x{k}yz' for k in range(60) for text in TEXTS]; random.shuffle(texts)\n"
        "Tokenizer.train(texts, vocabulary_size=350, kind=sys.argv[1]).save(sys.argv[2])"
    )
    for kind in TOKENIZER_KINDS:
        paths = [tmp_path / f"{kind}{k}.json" for k in range(3)]
        running = [subprocess.Popen([sys.executable, "-c", code, kind, str(path)]) for path in paths]
        assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
        assert len({hashlib.sha256(path.read_bytes()).digest() for path in paths}) == 1


def test_wrong_arguments_are_named(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="tokenizer_kind must be one of .*Received: 'words'"):
        Tokenizer.train(TEXTS, vocabulary_size=300, kind="words")
    with pytest.raises(ValueError, match="vocabulary_size must be at least 260.*every byte. Received: 100"):
        Tokenizer.train(TEXTS, vocabulary_size=100)
    with pytest.raises(ValueError, match="vocabulary_size must be at least .*every character.*Received: 9"):
        Tokenizer.train(TEXTS, vocabulary_size=9, kind="wordpiece")
    with pytest.raises(ValueError, match="max_text_length must be >= 3.*Received: 2"):
        tokenizer.encode(TEXTS, max_length=2)
    (tmp_path / "other.json").write_text("{}")
    for path in (tmp_path / "none.json", tmp_path / "other.json"):
        with pytest.raises(ValueError, match=f"tokenizer must be the path of a tokenizer.json.*{path.name}"):
            Tokenizer.load(path)


def test_a_foreign_tokenizer_is_refused(tmp_path):
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordPiece

    Backend(WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")).save(str(tmp_path / "foreign.json"))
    with pytest.raises(ValueError, match=r"foreign.json: a tokenizer must begin with .*\[PAD\].*Received: \('\[UNK\]'"):
        Tokenizer.load(tmp_path / "foreign.json")


_made = []


def _bpe():
    if not _made:
        _made.append(Tokenizer.train(TEXTS, vocabulary_size=300))
    return _made[0]
