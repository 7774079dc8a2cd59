"""Own pictures in several groups: compiled once, measured among the classes of the user, and words that some lack."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.attention_maps.text_record import ImageTextRecord
from vitcross.data.batch import normalize
from vitcross.data.unreadable import UnreadableImage
from vitcross.sinks import own_pictures
from vitcross.sinks.own_pictures import picture_lines, report_pictures
from vitcross.tasks.captioning import Captioning
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.own_input import Wish
from vitcross.tasks.zero_shot import class_embeddings

CLASSES, TEMPLATES = ("star", "red ring", "heart"), ("a photo of a {}.", "one {}!")
BROKEN = Path("broken.jpg")


class Sink:
    """Keeps what it is given."""

    def __init__(self):
        self.given = []

    def media(self, step, media):
        self.given.append(media)


class Writes(Captioning):
    """Writes the true caption of each scene that it knows, as a trained captioner would."""

    def caption(self, images):
        known = {pixels(path).tobytes(): image_text.captions()[int(path.stem)] for path in paths(image_text.SIZE)}
        return [known[image.tobytes()] for image in images]


def paths(count):
    return [Path(f"pictures/{number:02d}.jpg") for number in range(count)]


def pixels(path):
    if path == BROKEN:
        raise UnreadableImage(f"{path} is broken")
    return normalize(np.asarray(image_text.scenes()[int(path.stem)].image))


def report(task, folder, chosen, **wish):
    sink = Sink()
    wish = Wish(class_names=(), tokenizer=image_text.tokenizer(), max_length=image_text.LENGTH, **wish)
    return report_pictures(task, chosen, wish, preprocess=pixels, folder=folder, sink=sink, step=5), sink


def rows(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def count_made(monkeypatch):
    """A list that grows by a name whenever `own_pictures` makes something that compiles."""
    made = []
    for name in ("Capture", "OwnChecks"):
        kind = getattr(own_pictures, name)
        monkeypatch.setattr(own_pictures, name, lambda *a, n=name, k=kind, **o: made.append(n) or k(*a, **o))
    return made


def test_groups_share_what_is_compiled_and_choose_among_the_users_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(own_pictures, "PER_SHEET", 3)
    made, network = count_made(monkeypatch), image_text.dual_encoder()
    chosen = [*paths(4), BROKEN, *paths(8)[4:]]
    (names, said, unreadable, notes), sink = report(
        Contrastive(network=network), tmp_path, chosen, classes=CLASSES, templates=TEMPLATES
    )
    assert made == ["Capture", "OwnChecks"] and unreadable == ["broken.jpg is broken"] and notes == []
    assert names == [str(path) for path in paths(8)] and len(said) == 8
    folders = sorted(path.name for path in (tmp_path / "attention").iterdir())
    assert folders == ["pictures_00001", "pictures_00004", "pictures_00007"] and len(sink.given) == 3
    # In both the table and the measurement: softmax over the classes of the user.
    vectors = class_embeddings(network, image_text.tokenizer(), CLASSES, TEMPLATES)
    pictures = np.asarray(network.encode_images(np.stack([pixels(path) for path in paths(8)])))
    exponentials = np.exp(float(np.exp(np.asarray(network.log_logit_scale))) * pictures @ vectors.T)
    shares = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in rows(tmp_path)], shares, rtol=1e-3)
    first = 0
    for media in sink.given:
        image = media.record.image
        last = first + len(image.images)
        assert image.example_index.tolist() == list(range(first, last)) and image.trust.same_pictures
        # Insertion ends at the whole picture; with a bare cosine it could be negative, and never near these shares.
        for probe, share in zip(image.trust.probes["relevance"], shares[first:last], strict=True):
            assert abs(probe.insertion - share) < 0.25 and 0 < probe.deletion < 1
        assert "raw" not in image.maps
        first = last


def test_nine_pictures_of_one_sheet_have_a_verdict(tmp_path):
    _, sink = report(Contrastive(network=image_text.dual_encoder()), tmp_path, paths(9), text="a red star")
    (media,) = sink.given
    kept = ImageTextRecord.load(tmp_path / "attention/pictures_00001/record.npz").image
    for trust in (media.record.image.trust, kept.trust):
        assert trust.examples == 9 and trust.same_pictures and len(trust.probes["raw"]) == 9
        assert list(trust.fidelity) == ["raw", "rollout", "relevance", "leave_one_out"]
    assert kept.maps["leave_one_out"].shape == (9, 20)


def test_a_word_that_some_captions_lack(tmp_path, monkeypatch):
    monkeypatch.setattr(own_pictures, "PER_SHEET", 2)
    has = {word: [word in caption.lower().split() for caption in image_text.captions()[:5]] for word in known_words(5)}
    word = next(word for word, where in has.items() if not any(where[:2]) and 0 < sum(where) < 4)
    task = Writes(network=image_text.captioner(), tokenizer=image_text.tokenizer())
    found, sink = report(task, tmp_path, paths(5), target=word)
    explained = [target for media in sink.given for target in media.record.image.targets]
    assert [target.lower() == word for target in explained] == has[word]
    (note,) = found[3]
    assert note.startswith(f"no word '{word}' in the caption of {5 - sum(has[word])} of 5 pictures: their longest word")
    assert [f"{n:02d}.jpg" in note for n in range(5)] == [not here for here in has[word]]
    assert picture_lines(*found)[-1] == f"  {note}" and picture_lines(*found)[0] == "5 pictures"
    assert [row["text"] for row in rows(tmp_path)] == image_text.captions()[:5]


def test_a_word_that_no_caption_has_is_refused_behind_the_predictions(tmp_path):
    task = Writes(network=image_text.captioner(), tokenizer=image_text.tokenizer())
    with pytest.raises(ValueError, match="a word of one of the 3 captions: .*Received: target='zebra'"):
        report(task, tmp_path, paths(3), target="zebra")
    assert [row["text"] for row in rows(tmp_path)] == image_text.captions()[:3]
    assert not (tmp_path / "attention").exists()


def known_words(count):
    return sorted({word for caption in image_text.captions()[:count] for word in caption.lower().split()})
