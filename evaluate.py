"""Measures a finished run, or explains the user's images: `python evaluate.py --help`."""

import sys
from pathlib import Path

from vitcross.command_line.evaluate import prepare_evaluate
from vitcross.command_line.process import configure_logging, quiet_start, report_errors
from vitcross.experiment import data_contents, finished_run
from vitcross.experiment.parts import build_data
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
            measure(settings, run_config, task, header, folder, sink)
            status = 0
        finally:
            sink.close({}, status)


def compare(settings):
    """The captures of two runs, side by side in one page; no model is loaded."""
    from vitcross.attention_maps.viewer.comparison import compare_runs

    with quiet_start():  # records know how tokens lie, and so load TensorFlow
        page = compare_runs(settings["run"], settings["compare"])
    say(f"results  {page}")


def measure_split(settings, run_config, task, header, folder, sink):
    """Metrics, confusion matrix, predictions and maps of one split."""
    from vitcross.evaluation.split_report import report_split, split_lines

    split = settings["split"]
    data = build_data(run_config)
    data_contents.compare(settings["run"], data, split, header["class_names"])
    report, evaluation = report_split(
        task,
        data,
        folder=folder / split,
        sink=sink,
        step=header["step"],
        seed=run_config["seed"],
        **{key: settings[key] for key in ("split", "batch_size", "limit", "num_probes", "num_trust", "templates")},
    )
    say(*split_lines(report, split, evaluation), f"results  {folder / split}")


def explain_images(settings, run_config, task, header, folder, sink):
    """What the model says of own images (and an own text), and maps."""
    from vitcross.data.sources.image_files import find_images
    from vitcross.evaluation.image_report import image_lines, report_images
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
    found = report_images(
        task,
        find_images(settings["images"]),
        query,
        preprocess=finished_run.preprocess_of(run_config),
        folder=folder / "images",
        sink=sink,
        step=header["step"],
    )
    say(*image_lines(*found, text=settings["text"]), f"results  {folder / 'images'}")


if __name__ == "__main__":
    evaluate(*prepare_evaluate(sys.argv[1:]))
