"""Overrides for runs of images with texts on a few examples and models that train in seconds."""

import json

from PIL import Image

TINY_TOWERS = {
    "contrastive": ("image_encoder", "text_encoder"),
    "captioning": ("image_encoder", "text_decoder"),
    "vqa": ("image_encoder", "text_encoder"),
}
SHORT = [
    "trainer.log_every=2",
    "attention_maps.num_probes=3",
    "attention_maps.num_measured=5",
    "attention_maps.captures=2",
    "attention_maps.trust_captures=0",
    "sinks.wandb.mode=disabled",
]


def tiny_model(kind):
    """Overrides of the towers of `contrastive`, `captioning` or `vqa`."""
    sizes = {"embed_dim": 16, "num_heads": 2, "depth": 1}
    return [f"model.{tower}.{key}={value}" for tower in TINY_TOWERS[kind] for key, value in sizes.items()]


def tiny_scene_texts(kind, data_dir):
    """Overrides of an experiment `scenes_<kind>` on a few scenes that are not square."""
    return [
        f"experiment=scenes_{kind}",
        f"data.data_dir={data_dir}",
        "data.image_size=[32,40]",
        "data.train_examples=48",
        "data.validation_examples=19",
        "data.test_examples=7",
        "data.unseen_examples=11",
        "data.batch_size=8",
        "data.evaluation_examples=13",
        *tiny_model(kind),
        *SHORT,
    ]


def write_pairs(folder, count=17):
    """A JSONL file of pairs with images of many sizes; one image has two texts."""
    lines = []
    for k in range(count):
        Image.effect_noise((33 + 3 * k, 41), 60).convert("RGB").save(folder / f"{k}.png")
        lines.append({"image": f"{k}.png", "text": f"Image number {k}, a {'cat' if k % 2 else 'dog'}."})
    lines.append({"image": "0.png", "text": "The first image."})
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder / "pairs.jsonl"
