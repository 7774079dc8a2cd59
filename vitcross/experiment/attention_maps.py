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
    from vitcross.attention_maps.trust.choice import evaluator_of
    from vitcross.training.guards import optimizer_step

    probes, measured = probe_indices(len(data.validation), len(data.train), config["seed"], settings)
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
            checks=evaluator_of(task.network, data, measured, portion=len(probes), seed=config["seed"]),
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


def probe_indices(num_examples, num_training, seed, settings):
    """`(shown, measured)`: the positions in the validation split of the examples that every capture shows, and split ->
    positions of those that maps are measured on (`choose_examples`); chosen once by the seed."""
    import numpy as np

    from vitcross.attention_maps.trust.choice import choose_examples

    shown, others = np.split(np.random.default_rng(seed).permutation(num_examples), [settings["num_probes"]])
    measured = choose_examples("validation", others, shown, num_training, settings["num_measured"], seed)
    return np.sort(shown), measured
