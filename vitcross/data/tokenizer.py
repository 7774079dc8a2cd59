"""Trains and applies sub-word tokenizers (Hugging Face `tokenizers`) that also locate tokens and words in a text.

Kinds are byte-pair encoding over bytes (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
section 2.2) and WordPiece (Schuster & Nakajima 2012). Texts are lower-cased and normalized to Unicode NFC with single
spaces. Equal texts train equal tokenizers. Shape letters: n texts, T token positions.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitcross.atomic_files import write_text
from vitcross.options.data import SHORTEST_TEXT, TOKENIZER_KINDS

SPECIAL_TOKENS = ("[PAD]", "[BOS]", "[EOS]", "[UNK]")
_CONTINUES = "##"  # WordPiece's prefix of a sub-word that does not begin a word


class Token(NamedTuple):
    """One position of a row of token ids: its text, its characters [start, end) and the number of its word.

    BOS and EOS have start = end = 0 and word = -1.
    """

    text: str
    start: int
    end: int
    word: int


class Word(NamedTuple):
    """One word: its text as written, its characters [start, end) and the positions of its tokens."""

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


class Tokenizer:
    """Converts text to token ids `[BOS] tokens [EOS] PAD ...` and back; `train` and `load` create one.

    `backend` is a `tokenizers.Tokenizer`. Raises ValueError unless its first four tokens are `SPECIAL_TOKENS`.
    """

    pad_id, bos_id, eos_id, unk_id = range(len(SPECIAL_TOKENS))

    def __init__(self, backend):
        found = tuple(backend.id_to_token(number) for number in range(len(SPECIAL_TOKENS)))
        if found != SPECIAL_TOKENS:
            raise ValueError(f"a tokenizer must begin with the tokens {SPECIAL_TOKENS}. Received: {found}")
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend

    @classmethod
    def train(cls, texts, *, vocabulary_size, kind="bpe"):
        """A tokenizer trained on `texts`, independent of their order.

        Args:
            texts: iterable of str.
            vocabulary_size: int, the largest number of tokens, including special ones.
            kind: `bpe` (over bytes, so nothing is unknown; needs at least 260 tokens) or `wordpiece`.

        Raises:
            ValueError: for an unknown kind, or a vocabulary too small for every character.
        """
        if kind not in TOKENIZER_KINDS:
            raise ValueError(f"tokenizer_kind must be one of {TOKENIZER_KINDS}. Received: {kind!r}")
        backend = (_train_bpe if kind == "bpe" else _train_wordpiece)(sorted(texts), vocabulary_size)
        if (needed := backend.get_vocab_size()) > vocabulary_size:
            raise ValueError(
                f"vocabulary_size must be at least {needed}: 4 special tokens and every "
                f"{'byte' if kind == 'bpe' else 'character of the texts'}. Received: {vocabulary_size}"
            )
        return cls(backend)

    @classmethod
    def load(cls, path):
        """The tokenizer in a `tokenizer.json`. Raises ValueError if it is not one or was not made by `train`."""
        import tokenizers

        if not Path(path).is_file():
            raise ValueError(f"tokenizer must be the path of a tokenizer.json. Received: {path}, which is no file")
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except BaseException as error:
            # The library raises plain `Exception`s; a panic of its Rust code, which some files cause, is not even one.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"tokenizer must be the path of a tokenizer.json. Received: {path}: {error}") from None
        try:
            return cls(backend)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def save(self, path):
        """Writes the tokenizer to one JSON file atomically."""
        write_text(path, self._backend.to_str(pretty=True))

    @property
    def vocabulary_size(self):
        """Number of tokens, including special ones."""
        return self._backend.get_vocab_size()

    def normalize(self, text):
        """The text that the tokenizer encodes: texts that are equal here are equal to any model."""
        normalizer = self._backend.normalizer
        return text if normalizer is None else normalizer.normalize_str(text)

    def encode(self, texts, *, max_length):
        """Rows of token ids; longer texts are truncated but keep their EOS.

        Args:
            texts: list of n str.
            max_length: int >= 3, T.

        Returns:
            token_ids (n, T) int32, padding_mask (n, T) bool (True = real token), truncated (n,) bool.
        """
        _check_length(max_length)
        token_ids = np.full((len(texts), max_length), self.pad_id, np.int32)
        truncated = np.zeros(len(texts), np.bool_)
        for row, encoding in enumerate(self._backend.encode_batch_fast(list(texts), add_special_tokens=False)):
            ids = encoding.ids[: max_length - 2]
            token_ids[row, 0], token_ids[row, 1 : len(ids) + 1] = self.bos_id, ids
            token_ids[row, len(ids) + 1] = self.eos_id
            truncated[row] = len(encoding) > len(ids)
        # PAD never occurs inside a text, since special tokens are not recognized there.
        return token_ids, token_ids != self.pad_id, truncated

    def decode(self, token_ids):
        """The lower-cased text of one row of token ids, without special tokens."""
        ids = [int(number) for number in np.asarray(token_ids) if number >= len(SPECIAL_TOKENS)]
        return self._backend.decode(ids).strip()

    def tokens(self, text, *, max_length):
        """The `Token`s of a text, one per position of its row that is not padding."""
        _check_length(max_length)
        encoding = self._backend.encode(text, add_special_tokens=False)
        places = zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True)
        inside = []
        for number, (start, end), word in list(places)[: max_length - 2]:
            start += len(text[start:end]) - len(text[start:end].lstrip())  # byte-level tokens include the space before
            inside.append(Token(self._piece(number), start, end, word))
        bos, eos = (Token(SPECIAL_TOKENS[number], 0, 0, -1) for number in (self.bos_id, self.eos_id))
        return [bos, *inside, eos]

    def words(self, text, *, max_length):
        """The `Word`s of a text, in order, without those that were truncated."""
        positions = {}
        tokens = self.tokens(text, max_length=max_length)
        for position, token in enumerate(tokens):
            if token.word >= 0:
                positions.setdefault(token.word, []).append(position)
        words = []
        for places in positions.values():
            start, end = min(tokens[k].start for k in places), max(tokens[k].end for k in places)
            if end > start:
                words.append(Word(text[start:end], start, end, tuple(places)))
        return words

    def _piece(self, number):
        piece = self._backend.id_to_token(number)
        if piece.startswith(_CONTINUES):
            return piece
        text = self._backend.decode([number]).strip()
        return text if text and "\ufffd" not in text else piece  # a space, or a part of a character, has no text


def _check_length(max_length):
    if max_length < SHORTEST_TEXT:
        raise ValueError(f"max_text_length must be >= {SHORTEST_TEXT} (BOS, a token, EOS). Received: {max_length}")


def _normalizer():
    from tokenizers import Regex, normalizers

    # Python, but not the library, treats four separators as white space.
    spaces = normalizers.Replace(Regex(r"[\s\x1c-\x1f]+"), " ")
    return normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), spaces, normalizers.Strip()])


def _train_bpe(texts, vocabulary_size):
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = _normalizer()
    # The leading space gives the first word the same token as elsewhere.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return _without_added_tokens(backend)


def _train_wordpiece(texts, vocabulary_size):
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    normalizer = _normalizer()
    characters = sorted({letter for text in texts for letter in normalizer.normalize_str(text)} - {" "})
    continued = [_CONTINUES + character for character in characters]
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[Tokenizer.unk_id]))
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=_CONTINUES)
    # The trainer numbers the continued characters in hash order, which differs between processes, and breaks ties by
    # these numbers; as special tokens they are numbered before it starts (tokenizers 0.23).
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *continued],
        initial_alphabet=characters,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return _without_added_tokens(backend)


def _without_added_tokens(backend):
    """The same vocabulary without special tokens that are recognized in texts: `[EOS]` in a caption is plain text."""
    import tokenizers

    return tokenizers.Tokenizer.from_str(json.dumps(json.loads(backend.to_str()) | {"added_tokens": []}))
