"""Runs for the viewer, with no model behind them: rendered scenes, attention that moves to the object as training goes
on, and reports of trust. `python -m tests.attention_maps.viewer_samples FOLDER` writes a page of each kind."""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from tests.attention_maps import text_records
from tests.attention_maps.records import softmax
from tests.attention_maps.text_records import scenes, text_record, with_boxes
from vitcross.attention_maps import AttentionRecord, raw_map, rollout_map
from vitcross.attention_maps.records.trust_report import Fidelity, ProbeFidelity, TrustReport
from vitcross.attention_maps.trust.grounding import box_to_patches
from vitcross.data.scenes.scene import SHAPES as CLASSES
from vitcross.layers.token_layout import TokenLayout

SIZE, PATCH = (48, 80), (16, 16)
HOSTILE = "</script><img src=x onerror=document.title='broken'> a red star & <b>more</b>"
RIGHT_TO_LEFT = "כוכב אדום ליד עיגול כחול"
GAPS = {"raw": 0.11, "rollout": 0.02, "relevance": 0.31, "leave_one_out": 0.38}
VERDICTS = {"raw": 1, "rollout": 0, "relevance": 1, "leave_one_out": 1}


def report(methods, *, count, step, gap=1.0):
    """A TrustReport of known numbers; `gap` scales the gaps."""
    fidelity = {
        method: Fidelity(
            deletion=round(0.52 - gap * GAPS[method] / 2, 4),
            insertion=round(0.52 + gap * GAPS[method] / 2, 4),
            gap=gap * GAPS[method],
            gap_low=gap * GAPS[method] - 0.04,
            gap_high=gap * GAPS[method] + 0.05,
            p_value=0.0002 if VERDICTS[method] else 0.37,
            gap_other=gap * GAPS[method] * 0.8,
            gap_center=gap * GAPS[method] * 0.6,
            gap_share=GAPS[method] / GAPS["leave_one_out"],
            verdict=VERDICTS[method],
            p_other=0.0004,
            p_center=0.02,
        )
        for method in methods
    }
    probes = {
        method: tuple(
            ProbeFidelity(deletion=0.3, insertion=0.7, gap=gap * GAPS[method] + 0.01 * b, explainable=b != 2)
            for b in range(count)
        )
        for method in methods
    }
    grounding = {m: {"pointing": 0.9 * gap, "energy": 0.4, "lift": 3.1, "chance": 0.13} for m in methods}
    return TrustReport(
        step=step,
        examples=64,
        explainable=61,
        random_deletion=0.52,
        random_insertion=0.53,
        fidelity=fidelity,
        grounding=grounding,
        grounding_mark={m: {"pointing": 0.75, "energy": 0.3, "lift": 5.5, "chance": 0.0625} for m in methods},
        sanity={m: 0.12 for m in methods if m != "leave_one_out"},
        probes=probes,
        splits={"validation": 64},
        measured=(False,) * count,
        seconds=1.5,
    )


def classifier_record(
    *,
    step=500,
    planted=3.0,
    count=5,
    depth=3,
    heads=2,
    prefix=2,
    pooling="cls",
    size=SIZE,
    patch=PATCH,
    trust=True,
    seed=0,
):
    """A classifier on scenes whose attention leans to the first object by `planted` in its logits."""
    layout = TokenLayout.from_image(size, patch, num_prefix_tokens=prefix)
    boxes = np.array([scene.objects[scene.target].box for scene in scenes(count, size)], np.float32)
    on_object = np.stack([box_to_patches(box, size, layout.grid, patch).ravel() for box in boxes])
    generator = np.random.default_rng((seed, step))
    weights, tokens = {}, layout.num_tokens
    for layer in range(depth):
        logits = generator.normal(scale=1.0, size=(count, heads, tokens, tokens))
        lean = planted * (layer + 1) / depth * on_object
        logits[..., prefix:] += lean[:, None, None] * generator.uniform(0.5, 1.2, (count, heads, 1, 1))
        weights[f"image_encoder/block_{layer:02d}/self_attention"] = softmax(logits).astype(np.float32)
    if pooling == "map":
        logits = generator.normal(size=(count, heads, 1, tokens))
        weights["image_encoder/pooling/cross_attention"] = softmax(logits).astype(np.float32)
    norms = generator.uniform(5, 9, (count, tokens)).astype(np.float32)
    norms[:, prefix + 4] = 60.0  # one artifact patch
    labels = np.array([scene.label for scene in scenes(count, size)], np.int32)
    probabilities = softmax(generator.normal(size=(count, len(CLASSES))) + planted * np.eye(len(CLASSES))[labels])
    record = AttentionRecord(
        step=step,
        images=np.stack([np.asarray(scene.image) for scene in scenes(count, size)]),
        labels=labels,
        probabilities=probabilities.astype(np.float32),
        class_names=CLASSES,
        example_index=10 + np.arange(count),
        boxes=boxes,
        weights=weights,
        token_layout=layout,
        pooling=pooling,
        patch_size=patch,
        token_norms=norms,
    )
    noise = generator.uniform(0, 0.3, on_object.shape)
    maps = {
        "relevance": (on_object * generator.uniform(0.5, 1, on_object.shape) + noise).astype(np.float32),
        "leave_one_out": (0.3 * on_object + generator.normal(scale=0.05, size=on_object.shape)).astype(np.float32),
    }
    return dataclasses.replace(
        record,
        maps=maps,
        targets=tuple(CLASSES[label] for label in labels),
        trust=report(GAPS, count=count, step=step, gap=planted / 3) if trust else None,
    )


def classifier_run(steps=(0, 100, 500), **options):
    """Captures of one run, oldest first; the second one has no report of trust."""
    return [
        classifier_record(step=step, planted=3.0 * k / max(1, len(steps) - 1), trust=k != 1, **options)
        for k, step in enumerate(steps)
    ]


def hostile_texts():
    """A caption that would end a script, one in a script from right to left, and ordinary captions."""
    texts = [with_boxes(HOSTILE, []), with_boxes(RIGHT_TO_LEFT, [])]
    return [*texts, *text_records.scene_texts(5)[2:]]


def caption_record(*, step=500, planted=3.0, trust=True, hostile=True, **options):
    """A captioner whose words look at their objects by `planted` in their logits; composed maps, relevance of words."""
    texts = hostile_texts() if hostile else None
    record = text_record(predicts_next=True, planted=planted, texts=texts, seed=step, **options)
    return _with_maps(record, step, trust)


def dual_record(*, step=500, planted=3.0, trust=True, **options):
    """A dual encoder: cosines below and above 0."""
    return _with_maps(text_record(dual=True, planted=planted, seed=step, **options), step, trust)


def _with_maps(record, step, trust):
    count, length, patches = len(record.images), record.text.padding_mask.shape[1], record.token_layout.num_patches
    generator = np.random.default_rng(step)
    maps = {
        "raw": raw_map(record).astype(np.float32),
        "rollout": rollout_map(record).astype(np.float32),
        "relevance": generator.uniform(0, 1, (count, patches)).astype(np.float32),
        "leave_one_out": generator.normal(scale=0.1, size=(count, patches)).astype(np.float32),
    }
    token_maps = {
        m: generator.uniform(0, 1, (count, length, patches)).astype(np.float32) for m in ("relevance", "rollout")
    }
    text_maps = {"relevance": generator.uniform(0, 1, (count, length)).astype(np.float32)}
    return dataclasses.replace(
        record,
        step=step,
        maps=maps,
        targets=tuple(text.words[-1].text for text in record.text.texts),
        trust=report(GAPS, count=count, step=step) if trust else None,
        text=dataclasses.replace(record.text, token_maps=token_maps, text_maps=text_maps),
    )


def caption_run(steps=(0, 100, 500), **options):
    """Captures of one run of a captioner, oldest first."""
    return [
        caption_record(step=step, planted=3.0 * k / max(1, len(steps) - 1), **options) for k, step in enumerate(steps)
    ]


def main(folder):
    from vitcross.attention_maps.viewer import write_viewer

    folder = Path(folder)
    write_viewer(classifier_run(count=8, size=(64, 96), patch=(8, 8)), folder / "classifier.html", title="scenes")
    write_viewer(caption_run(), folder / "captions.html", title="captions")
    write_viewer([dual_record()], folder / "dual.html", title="pairs")
    other = [classifier_record(step=300, planted=1.0, count=8, size=(64, 96), patch=(8, 8), seed=3)]
    write_viewer(classifier_run(count=8, size=(64, 96), patch=(8, 8)), folder / "compare.html", compare=other,
                 names=("with augmentation", "without"))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
