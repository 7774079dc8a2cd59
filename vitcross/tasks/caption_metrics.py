"""BLEU-4, ROUGE-L and CIDEr of captions, by the scorers of the COCO caption challenge (`pycocoevalcap`).

Its tokenizer needs Java; words are split here instead: lower case, punctuation left out, as that tokenizer leaves it
out. Numbers therefore differ a little from published ones where words hold apostrophes or hyphens.
"""

import re

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

_WORD = re.compile(r"\w+")


def words(text):
    """A text as lower-case words with one space between them."""
    return " ".join(_WORD.findall(text.lower()))


def caption_metrics(captions, references):
    """Scores of generated captions, each against all texts of its picture.

    Args:
        captions: list of n str.
        references: list of n lists of str, at least one each.

    Returns:
        dict of float: `bleu4` in [0, 1] (corpus BLEU, Papineni et al. 2002), `rouge_l` in [0, 1] (Lin 2004, beta 1.2),
        `cider` in [0, 10] (CIDEr-D, arXiv 1411.5726; word weights from these references: 0 with a single picture).

    Raises:
        ValueError: no caption, or a picture without a reference.
    """
    if not captions or not all(references) or len(captions) != len(references):
        raise ValueError(
            "caption metrics need captions, each with at least one reference. "
            f"Received: {len(captions)} captions, {sum(map(bool, references))} with references"
        )
    said = {n: [words(caption)] for n, caption in enumerate(captions)}
    true = {n: [words(text) for text in texts] for n, texts in enumerate(references)}
    bleu, _ = Bleu(4).compute_score(true, said, verbose=0)
    values = {"bleu4": bleu[3], "rouge_l": Rouge().compute_score(true, said)[0]}
    values["cider"] = Cider().compute_score(true, said)[0]
    return {name: float(value) for name, value in values.items()}
