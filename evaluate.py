"""Measures a finished run, or explains the user's images: `python evaluate.py --help`."""

import sys
from pathlib import Path

from vitcross.command_line.evaluate import prepare_evaluate
from vitcross.command_line.process import configure_logging, exit_after, quiet_start, report_errors
from vitcross.experiment import data_contents, finished_run
from vitcross.experiment.parts import build_data
from vitcross.experiment.run_folder import claim_folder
from vitcross.keras_settings import set_keras
from vitcross.terminal import say


def evaluate(settings, run_config):
    """Do what was typed: `settings` of the evaluation, `run_config` of its run; both are validated."""
    folder = Path(settings["run"]) / "evaluation"
    configure_logging()
    with report_errors(folder):
        if settings["compare"] is not None:
            compare(settings)
            return
        say("starting TensorFlow ...")
        with quiet_start():
            from vitcross.training.device import describe_device

            set_keras()
            describe_device()  # TensorFlow looks for devices now
        checkpoint, header = finished_run.open_checkpoint(settings["run"], settings["checkpoint"])
        say(f"{settings['checkpoint']} checkpoint: {checkpoint}")
        task = finished_run.load_task(run_config, checkpoint)
        sink = finished_run.evaluation_sink(settings, run_config, settings["run"])
        status = 1
        try:
            measure = explain_images if settings["images"] is not None else measure_split
            page = measure(settings, run_config, task, header, sink)
            status = 0
        finally:
            sink.close({}, status)
        say(f"page  {page}")


def compare(settings):
    """The captures of two runs, side by side in one page; no model is loaded."""
    from vitcross.attention_maps.viewer.comparison import compare_runs

    with quiet_start():  # records know how tokens lie, and so load TensorFlow
        page = compare_runs(settings["run"], settings["compare"])
    say(f"page  {page}")


def measure_split(settings, run_config, task, header, sink):
    """Metrics, confusion matrix, predictions and maps of one split; returns the path of the page."""
    from vitcross.evaluation.earlier import make_room
    from vitcross.evaluation.split_report import report_split

    split, folder = settings["split"], Path(settings["run"]) / "evaluation" / settings["split"]
    options = {key: settings[key] for key in ("limit", "num_probes", "num_trust", "templates")}
    options["exact"] = settings["exact"] is not False
    data = build_data(run_config)
    data_contents.compare(settings["run"], data, split, header["class_names"])
    moved = make_room(folder, {"step": header["step"], **options})
    if moved is not None:
        say(f"an earlier evaluation with another checkpoint or other settings is kept in {moved}")
    return report_split(
        task,
        data,
        split=split,
        folder=folder,
        sink=sink,
        step=header["step"],
        batch_size=settings["batch_size"],
        title=f"{finished_run.short_name(settings['run'])}, {split} split",
        seed=run_config["seed"],
        **options,
    )


def explain_images(settings, run_config, task, header, sink):
    """What the model says of own images (and an own text), and maps; returns the path of the page."""
    from vitcross.data.sources.image_files import find_images
    from vitcross.evaluation.image_report import report_images
    from vitcross.tasks.image_query import ImageQuery

    query = ImageQuery(
        class_names=tuple(header["class_names"]),
        text=settings["text"],
        target=settings["target"],
        classes=tuple(settings["classes"]),
        templates=tuple(settings["templates"]),
        tokenizer=finished_run.load_tokenizer(run_config),
        max_length=run_config["data"].get("max_text_length"),
    )
    found = find_images(settings["images"])
    say(*(f"left out: {line}" for line in found.left_out))
    return report_images(
        task,
        found.paths,
        query,
        preprocess=finished_run.preprocess_of(run_config),
        make_folder=lambda: claim_folder(Path(settings["run"]) / "evaluation" / "images"),
        sink=sink,
        step=header["step"],
        exact=bool(settings["exact"]),
        title=f"{finished_run.short_name(settings['run'])}, own images",
    )


if __name__ == "__main__":
    exit_after(lambda: evaluate(*prepare_evaluate(sys.argv[1:])))
