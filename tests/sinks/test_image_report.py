"""Own images in several groups: compiled once, measured among the classes of the user, words that some lack, Ctrl-C."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.data.batch import normalize
from vitcross.data.problems import UnreadableImage
from vitcross.evaluation import image_group, image_maps
from vitcross.evaluation.image_report import report_images
from vitcross.layers import AttentionControls
from vitcross.models import VisionTransformer
from vitcross.tasks.captioning import Captioning
from vitcross.tasks.classification import Classification
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.image_query import ImageQuery
from vitcross.tasks.zero_shot import class_embeddings

CLASSES, TEMPLATES = ("star", "red ring", "heart"), ("a photo of a {}.", "one {}!")
BROKEN = Path("/images/broken.jpg")


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
    return [Path(f"/images/{number:02d}.jpg") for number in range(count)]


def pixels(path):
    if path == BROKEN:
        raise UnreadableImage(path, "cut off")
    return normalize(np.asarray(image_text.scenes()[int(path.stem)].image))


def report(task, folder, chosen, exact=False, **query):
    sink = Sink()
    query = ImageQuery(
        **{"class_names": (), "tokenizer": image_text.tokenizer(), "max_length": image_text.LENGTH, **query}
    )
    options = {"preprocess": pixels, "make_folder": lambda: folder, "sink": sink, "step": 5, "exact": exact}
    return report_images(task, chosen, query, **options), sink


def rows(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def shares(network, images, vectors, controls):
    """(B, K) softmax over classes of what the network says of images under `AttentionControls`."""
    logits = np.asarray(network.encode_images(images, attention_controls=controls), np.float64) @ vectors.T
    exponentials = np.exp(float(np.exp(np.asarray(network.log_logit_scale))) * logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def count_made(monkeypatch):
    """A list that grows by a name whenever `image_maps` makes something that compiles."""
    made = []
    for name in ("Capture", "UnlabeledChecks"):
        kind = getattr(image_maps, name)
        monkeypatch.setattr(image_maps, name, lambda *a, n=name, k=kind, **o: made.append(n) or k(*a, **o))
    return made


def test_groups_share_what_is_compiled_and_choose_among_the_users_classes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_group, "PER_SHEET", 3)
    made, network = count_made(monkeypatch), image_text.dual_encoder()
    chosen = [*paths(4), BROKEN, *paths(8)[4:]]
    page, sink = report(Contrastive(network=network), tmp_path, chosen, classes=CLASSES, templates=TEMPLATES)
    lines = capsys.readouterr().out.splitlines()
    assert made == ["Capture", "UnlabeledChecks"] and lines[0] == "8 images, 1 not readable"
    assert [line.split()[0] for line in lines[1:9]] == [path.name for path in paths(8)]
    assert lines[9] == "  not readable, left out: /images/broken.jpg: cut off" and "predictions.csv" in lines[10]
    # Several sheets have a page that leads to the viewer of each image.
    assert page == tmp_path / "index.html" and page.read_text().count('href="attention/images_00004/viewer.html"') == 2
    folders = sorted(path.name for path in (tmp_path / "attention").iterdir())
    assert folders == ["images_00001", "images_00004", "images_00007"] and len(sink.given) == 3
    # In both the table and the measurement: softmax over the classes of the user.
    vectors = class_embeddings(network, image_text.tokenizer(), CLASSES, TEMPLATES)
    images, patches = np.stack([pixels(path) for path in paths(8)]), np.arange(20)
    whole, without = (
        shares(network, images, vectors, AttentionControls(kept_patches=np.tile(kept, (8, 1))))
        for kept in (patches >= 0, patches != 6)
    )
    best = whole.argmax(axis=1)
    found = rows(tmp_path)
    assert [row["example"] for row in found] == [path.name for path in paths(8)]
    np.testing.assert_allclose([float(row["probability"]) for row in found], whole.max(axis=1), rtol=1e-4)
    assert [row["prediction"] for row in found] == [CLASSES[k] for k in best]
    drops = np.concatenate([media.record.maps["leave_one_out"][:, 6] for media in sink.given])
    np.testing.assert_allclose(drops, (whole - without)[np.arange(8), best], rtol=1e-3, atol=1e-6)
    assert np.abs(drops).max() > 1e-5
    records = [media.record for media in sink.given]
    assert [record.example_index.tolist() for record in records] == [[0, 1, 2], [3, 4], [5, 6, 7]]
    assert all(all(record.trust.measured) and "raw" not in record.maps for record in records)
    gaps = [probe.gap for record in records for probe in record.trust.probes["rollout"]]
    np.testing.assert_allclose([float(row["gap_rollout"]) for row in found], gaps, atol=1e-6)
    assert [name for record in records for name in record.image_names] == [path.name for path in paths(8)]


def test_nine_images_of_one_sheet_have_a_verdict(tmp_path):
    _, sink = report(Contrastive(network=image_text.dual_encoder()), tmp_path, paths(9), text="a red star")
    (media,) = sink.given
    kept = AttentionRecord.load(tmp_path / "attention/images_00001/record.npz")
    for trust in (media.record.trust, kept.trust):
        assert trust.examples == 9 and trust.measured == (True,) * 9 and len(trust.probes["raw"]) == 9
        assert list(trust.fidelity) == ["raw", "rollout", "relevance", "leave_one_out"]
    assert kept.maps["leave_one_out"].shape == (9, 20)


def test_a_word_that_some_captions_lack(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_group, "PER_SHEET", 2)
    words = [set(caption.lower().replace(".", "").split()) for caption in image_text.captions()[:5]]
    has = {word: [word in known for known in words] for word in sorted(set.union(*words))}
    word = next(word for word, where in has.items() if not any(where[:2]) and 0 < sum(where) < 4)
    task = Writes(network=image_text.captioner(), tokenizer=image_text.tokenizer())
    _, sink = report(task, tmp_path, paths(5), target=word)
    explained = [target for media in sink.given for target in media.record.targets]
    assert [target.lower() == word for target in explained] == has[word]
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  no word ")]
    start = f"  no word '{word}' in the caption of {5 - sum(has[word])} of 5 images: their longest word"
    assert note.startswith(start) and [f"{n:02d}.jpg" in note for n in range(5)] == [not here for here in has[word]]
    assert [row["text"] for row in rows(tmp_path)] == image_text.captions()[:5]


def test_a_word_that_no_caption_has_is_refused_behind_the_predictions(tmp_path):
    task = Writes(network=image_text.captioner(), tokenizer=image_text.tokenizer())
    with pytest.raises(ValueError, match="a word of one of the 3 captions: .*Received: target='zebra'"):
        report(task, tmp_path, paths(3), target="zebra")
    assert [row["text"] for row in rows(tmp_path)] == image_text.captions()[:3]
    assert not (tmp_path / "attention").exists()


def test_a_classifier_explains_the_class_by_name(tmp_path):
    sizes = {"image_size": image_text.IMAGE_SIZE, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    task = Classification(network=VisionTransformer(num_classes=3, **sizes))
    names = ("star", "ring", "heart")
    _, sink = report(task, tmp_path, paths(2), target="Ring", class_names=names)
    image = sink.given[0].record
    probabilities = np.asarray(task.probabilities(np.stack([pixels(path) for path in paths(2)])))
    assert image.targets == ("ring", "ring") and all(row.verdict < 0 for row in image.trust.fidelity.values())
    np.testing.assert_allclose([float(row["probability"]) for row in rows(tmp_path)], probabilities.max(axis=1), 1e-4)
    without = AttentionControls(kept_patches=np.tile(np.arange(20) != 6, (2, 1)))
    logits = np.asarray(task.network(np.stack([pixels(path) for path in paths(2)]), attention_controls=without))
    dropped = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(image.maps["leave_one_out"][:, 6], probabilities[:, 1] - dropped, rtol=1e-3, atol=1e-6)


def small_classifier():
    sizes = {"image_size": image_text.IMAGE_SIZE, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    return Classification(network=VisionTransformer(num_classes=3, **sizes))


@pytest.mark.parametrize(("exact", "steps", "runs"), [(False, 8, 8 * 2 * 8 + 20 + 1), (True, 19, 8 * 2 * 19 + 20 + 1)])
def test_the_check_is_coarse_unless_exact_and_says_what_it_costs(tmp_path, capsys, exact, steps, runs):
    # One image: 4 methods, the center and 3 random orders, each from both ends; 20 patches left out once; the whole.
    page, sink = report(small_classifier(), tmp_path, paths(1), exact=exact, class_names=("a", "b", "c"))
    trust = sink.given[0].record.trust
    assert (trust.steps, trust.patches, trust.runs) == (steps, 20, runs)
    detail = "a step for every patch" if exact else "coarse: 8 steps for 20 patches"
    words = f"{runs} network runs an image, {detail}"
    assert words in capsys.readouterr().out and words in page.read_text()


def test_ctrl_c_during_the_check_keeps_predictions_and_maps(tmp_path, monkeypatch, capsys):
    def stopped(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_maps.UnlabeledChecks, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt) as error:
        report(small_classifier(), tmp_path, paths(2), class_names=("a", "b", "c"))
    viewer = tmp_path / "attention/images_00001/viewer.html"
    (note,) = error.value.__notes__
    assert "Predictions and maps are kept" in note and str(viewer) in note and viewer.exists()
    assert [row["example"] for row in rows(tmp_path)] == ["00.jpg", "01.jpg"]
    kept = AttentionRecord.load(viewer.parent / "record.npz")
    assert kept.trust is None and set(kept.maps) == {"relevance"} and kept.image_names == ("00.jpg", "01.jpg")
