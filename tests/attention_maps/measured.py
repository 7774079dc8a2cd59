"""Records with maps that need the model and a report of their trust; every number is another one."""

import dataclasses

import numpy as np

from vitcross.attention_maps.records.trust_report import (
    FOLLOWS,
    NO_BETTER,
    NOTHING,
    Fidelity,
    ProbeFidelity,
    TrustReport,
)

METHODS = ("raw", "rollout", "relevance", "leave_one_out")
VERDICTS = {"raw": NO_BETTER, "rollout": FOLLOWS, "relevance": FOLLOWS, "leave_one_out": NOTHING}


def trust_report(record, *, methods=METHODS, verdicts=None, grounded=True, seed=0, **changes):
    """A report of random numbers in their ranges."""
    random = np.random.default_rng(seed)
    verdicts = verdicts or VERDICTS
    fidelity = {}
    for method in methods:
        deletion, insertion, gap, other, center, share = random.uniform(0.1, 0.9, 6)
        fidelity[method] = Fidelity(
            deletion=deletion,
            insertion=insertion,
            gap=gap,
            gap_low=gap - 0.0625,
            gap_high=gap + 0.03125,
            p_value=0.5,
            gap_other=other,
            gap_center=center,
            gap_share=None if method == "leave_one_out" else share,
            verdict=verdicts[method],
        )
    probes = {
        method: tuple(
            ProbeFidelity(deletion=0.25, insertion=0.5, gap=random.uniform(-1, 1), explainable=b != 1)
            for b in range(len(record.images))
        )
        for method in methods
    }
    grounding = {
        method: dict(zip(("pointing", "energy", "lift", "chance"), random.uniform(0.1, 0.9, 4), strict=True))
        for method in methods
    }
    fields = {
        "step": record.step,
        "examples": 61,
        "explainable": 53,
        "random_deletion": 0.4375,
        "random_insertion": 0.5625,
        "fidelity": fidelity,
        "grounding": grounding if grounded else {},
        "sanity": {method: random.uniform(-1, 1) for method in methods[:-1]},
        "probes": probes,
        "splits": {"validation": 47, "train": 14},
        "measured": tuple(b == 1 for b in range(len(record.images))),
    }
    return TrustReport(**{**fields, **changes})


def measured(record, *, targets=None, trust=True, seed=0, **changes):
    """The `AttentionRecord` with relevance and leave-one-out, some of it negative, and a report."""
    random = np.random.default_rng(seed)
    shape = (len(record.images), record.token_layout.num_patches)
    maps = {
        "relevance": random.uniform(0, 3, shape).astype(np.float32),
        "leave_one_out": random.uniform(-2, 1, shape).astype(np.float32),
    }
    targets = targets or tuple(f"target {b}" for b in range(len(record.images)))
    report = trust_report(record, seed=seed, **changes) if trust else None
    return dataclasses.replace(record, maps=maps, targets=targets, trust=report)


def measured_text(record, *, targets=None, seed=0, **changes):
    """The record of pairs with maps of words, and of the target through both towers."""
    random = np.random.default_rng(seed)
    shape = (*record.text.padding_mask.shape, record.token_layout.num_patches)
    record = measured(record, targets=targets, seed=seed, **changes)
    both = {m: random.uniform(0, 1, record.maps["relevance"].shape).astype(np.float32) for m in ("raw", "rollout")}
    token_maps = {method: random.uniform(0, 1, shape).astype(np.float32) for method in ("relevance", "rollout")}
    text = dataclasses.replace(record.text, token_maps=token_maps)
    return dataclasses.replace(record, maps={**record.maps, **both}, text=text)
