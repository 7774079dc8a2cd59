"""Writes the files of an evaluation: `metrics.json`, `predictions.csv`, a confusion matrix as PNG and JSON, or the
average precision of each label as PNG.

K classes, n examples.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vitcross import atomic_files, metric_keys
from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.sheets.cell_table import draw_cells, label_rows
from vitcross.attention_maps.sheets.drawing import MARGIN, MUTED, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.evaluation.label_sheet import label_sheet
from vitcross.pages.csv_text import csv_text

MOST_CLASSES = 100  # beyond, a cell of the image would be smaller than a few pixels


def write_evaluation(folder, *, report, predictions):
    """Write the files of one evaluated split.

    Args:
        folder: path, made when needed.
        report: dict of `task.report`: metrics; of a classification `confusion_matrix` and `class_names` too, of several
            labels per image `average_precision_per_label` and `images_per_label`.
        predictions: `(columns, lines)` of `predictions.csv`.

    Returns:
        dict of the key of an image to its Sheet: the confusion matrix or the average precision of the labels; empty
        where there is neither, or too many classes to draw.
    """
    folder = Path(folder)
    metrics = {key: value for key, value in report.items() if key not in ("confusion_matrix", "class_names")}
    atomic_files.write_text(folder / "metrics.json", json.dumps(metrics, indent=1))
    atomic_files.write_text(folder / "predictions.csv", csv_text(*predictions))
    if len(report.get("average_precision_per_label", ())) in range(1, MOST_CLASSES + 1):
        sheet = label_sheet(report["average_precision_per_label"], report["images_per_label"])
        atomic_files.write_bytes(folder / "average_precision.png", sheet.png)
        return {metric_keys.AVERAGE_PRECISION: sheet}
    if "confusion_matrix" not in report:
        return {}
    class_names, counts = report["class_names"], np.asarray(report["confusion_matrix"])
    matrix = {"class_names": class_names, "rows": "true class", "columns": "predicted class", "counts": counts.tolist()}
    atomic_files.write_text(folder / "confusion_matrix.json", json.dumps(matrix))
    if len(class_names) > MOST_CLASSES:
        return {}
    sheet = confusion_sheet(counts, class_names)
    atomic_files.write_bytes(folder / "confusion_matrix.png", sheet.png)
    return {metric_keys.CONFUSION: sheet}


def confusion_sheet(counts_KK, class_names):
    """The confusion matrix as an image: colors are shares of the true class, numbers are counts."""
    shares = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    num_classes = len(class_names)
    cell = int(np.clip(900 // num_classes, 8, 64))
    label_room = int(min(220, max(drawing.text_width(name, 13) for name in class_names) + 16))
    left, top = MARGIN + label_room, drawing.heading_height(1)
    side = cell * num_classes
    canvas = Canvas(width=max(left + side + MARGIN + 120, 640), height=top + side + label_room + MARGIN)
    lines = ["Rows: true class. Columns: predicted class. Color: share of the row."]
    canvas.heading("Confusion matrix", lines, left + side)
    texts = [[str(count) if count else "" for count in row] for row in counts_KK.tolist()]
    draw_cells(canvas, (left, top), shares, (cell, cell), vmax=1.0, color_map="viridis", texts=texts)
    names = [drawing.shorten(name, 13, label_room - 10) for name in class_names]
    label_rows(canvas, (left, top), names, cell)
    for k, name in enumerate(names):
        _vertical_text(canvas, left + k * cell + cell / 2, top + side + 6, name)
    canvas.color_bar(left + side + 14, top, side, vmin=0.0, vmax=1.0, color_map="viridis")
    caption = "Rows: true class. Columns: predicted class."
    return Sheet(image=canvas.array(), title="Confusion matrix", caption=caption, vmin=0, vmax=1)


def _vertical_text(canvas, x, y, text):
    """One line of text read from bottom to top, its end at the top of (x, y)."""
    width, height = int(drawing.text_width(text, 13)) + 2, 18
    line = Canvas(width=width, height=height)
    line.text(width, height / 2, text, fill=MUTED, anchor="rm", size=13)
    canvas.missing |= line.missing
    canvas.image.paste(line.image.transpose(Image.Transpose.ROTATE_90), (int(x - height / 2), int(y)))
