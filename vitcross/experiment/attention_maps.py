"""Builds the attention maps of an experiment: which images are shown and which are measured, and when.

TensorFlow is imported when something is built.
"""


def build_attention_maps(config, command, total_steps, task, optimizer, data, sink):
    """The callbacks that show attention: one, or none with `attention_maps=off`.

    Args:
        config: dict, the configuration, filled in by the data.
        command: `vitcross.experiment.run_folder.Command`.
        total_steps: int.
        task, optimizer, data, sink: parts of the run.
    """
    settings = config["attention_maps"]
    if not settings["enabled"]:
        return []
    from vitcross.attention_maps.callback import AttentionMaps
    from vitcross.attention_maps.records.probe_text import texts_of
    from vitcross.attention_maps.schedule import trust_steps
    from vitcross.attention_maps.sheets.sheets import Style
    from vitcross.training.guards import optimizer_step

    probes, measured = probe_indices(len(data.validation), config["seed"], settings)
    steps = steps_of_captures(config, total_steps)
    return [
        AttentionMaps(
            network=task.network,
            probes=data.examples("validation", probes),
            sink=sink,
            steps=steps,
            trust_steps=trust_steps(steps, settings["trust_captures"]),
            step=lambda: optimizer_step(optimizer),
            class_names=data.class_names,
            checks=build_checks(task.network, data, measured, config["seed"], portion=len(probes)),
            style=Style(**{key: settings[key] for key in ("opacity", "color_map", "resampling", "panel_size")}),
            title=command.name,
            folder=command.folder / "attention",
            **texts_of(task, data, "validation", probes),
        )
    ]


def steps_of_captures(config, total_steps):
    """The optimizer steps at which a run captures attention; none with `attention_maps=off`."""
    from vitcross.attention_maps.schedule import capture_steps

    settings = config["attention_maps"]
    return capture_steps(total_steps, settings["captures"], settings["every"]) if settings["enabled"] else ()


def probe_indices(num_examples, seed, settings):
    """Positions in the validation split of the examples that every capture shows, and of those that maps are measured
    on: chosen once by the seed, none of the second among the first where there are enough."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(num_examples)
    probes, rest = np.split(order, [settings["num_probes"]])
    return np.sort(probes), np.sort((rest if len(rest) else order)[: settings["num_measured"]])


def build_checks(network, data, indices, seed, portion):
    """What is measured of the maps on some validation examples, or None without any."""
    if not len(indices):
        return None
    from vitcross.attention_maps.records.label_part import labels_of
    from vitcross.attention_maps.records.probe_text import probe_texts
    from vitcross.attention_maps.trust.checks import MapEvaluator

    return MapEvaluator(
        network,
        data.examples("validation", indices),
        texts=probe_texts(data, "validation", indices) if data.tokenizer is not None else None,
        labels=labels_of(data, "validation", indices),
        class_names=data.class_names,
        portion=portion,
        seed=seed,
    )
