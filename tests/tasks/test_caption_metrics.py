import math
from collections import Counter

import pytest

from vitcross.tasks.caption_summary import caption_metrics, words

CAPTIONS = ["A dog runs on the beach.", "Two cats sleep near a red sofa", "a man rides a horse"]
REFERENCES = [
    ["a dog is running on the beach", "A dog runs along the sea."],
    ["two cats sleep on a red sofa"],
    ["a man rides a brown horse in a field", "a man on a horse", "the rider and his horse"],
]


def ngrams(text, n):
    tokens = text.split()
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu4(captions, references):
    """Papineni et al. 2002: geometric mean of clipped precisions times the brevity penalty, over the corpus."""
    logs = []
    for n in range(1, 5):
        matched = possible = 0
        for caption, texts in zip(captions, references, strict=True):
            found = ngrams(caption, n)
            most = Counter()
            for text in texts:
                most |= ngrams(text, n)
            matched += sum((found & most).values())
            possible += sum(found.values())
        logs.append(math.log(matched / possible))
    said = sum(len(caption.split()) for caption in captions)
    true = sum(
        min((len(t.split()) for t in texts), key=lambda k, c=caption: (abs(k - len(c.split())), k))
        for caption, texts in zip(captions, references, strict=True)
    )
    return math.exp(sum(logs) / 4) * min(1.0, math.exp(1 - true / said))


def test_bleu_equals_its_definition():
    captions = [words(caption) for caption in CAPTIONS]
    references = [[words(text) for text in texts] for texts in REFERENCES]
    assert caption_metrics(CAPTIONS, REFERENCES)["bleu4"] == pytest.approx(bleu4(captions, references), rel=1e-6)


def test_rouge_l_of_a_known_case():
    # Longest common subsequence "two cats sleep a red sofa": 6 of 7 words said, 6 of 7 words true.
    assert caption_metrics(CAPTIONS[1:2], REFERENCES[1:2])["rouge_l"] == pytest.approx(6 / 7)


def test_a_caption_that_repeats_its_reference_has_the_highest_scores():
    own = [texts[0] for texts in REFERENCES]
    values = caption_metrics(own, [[text] for text in own])
    assert values == pytest.approx({"bleu4": 1.0, "rouge_l": 1.0, "cider": 10.0}, rel=1e-6)


def test_captions_of_other_images_have_low_scores():
    right = caption_metrics(CAPTIONS, REFERENCES)
    wrong = caption_metrics(CAPTIONS[1:] + CAPTIONS[:1], REFERENCES)
    assert all(wrong[name] < right[name] / 2 for name in right)


def test_case_and_punctuation_do_not_matter():
    shouted = [caption.upper() + "!" for caption in CAPTIONS]
    assert caption_metrics(shouted, REFERENCES) == pytest.approx(caption_metrics(CAPTIONS, REFERENCES))


def test_an_empty_caption_scores_nothing():
    values = caption_metrics(["", "."], REFERENCES[:2])
    assert values["rouge_l"] == values["cider"] == 0.0 and values["bleu4"] < 1e-6


@pytest.mark.parametrize(("captions", "references"), [([], []), (["a"], [[]]), (["a", "b"], [["a"]])])
def test_what_cannot_be_scored_is_an_error(captions, references):
    with pytest.raises(ValueError, match="at least one reference"):
        caption_metrics(captions, references)
