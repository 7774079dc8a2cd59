"""What an evaluation leaves on disk: `metrics.json`, `predictions.csv`, the confusion matrix as PNG and JSON.

K classes, n examples.
"""

import csv
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from vitcross import atomic_files
from vitcross.attention_maps import colour_maps, drawing
from vitcross.attention_maps.drawing import MARGIN, MUTED, Paper
from vitcross.attention_maps.media import Sheet

MOST_CLASSES = 100  # beyond, a cell of the picture would be smaller than a few pixels


def write_evaluation(folder, *, report, rows, names):
    """Write the files of one evaluated split.

    Args:
        folder: path, made when needed.
        report: dict of `task.report`: metrics, per-class accuracy, `confusion_matrix`, `class_names`.
        rows: dict of arrays over the n examples (`vitcross.evaluation.predict_all`).
        names: sequence of n str, what each example is called (a path, or split and number).

    Returns:
        Sheet of the confusion matrix; None where there are too many classes to draw.
    """
    folder = Path(folder)
    class_names, counts = report["class_names"], np.asarray(report["confusion_matrix"])
    metrics = {key: value for key, value in report.items() if key not in ("confusion_matrix", "class_names")}
    matrix = {"class_names": class_names, "rows": "true class", "columns": "predicted class", "counts": counts.tolist()}
    atomic_files.write_text(folder / "metrics.json", json.dumps(metrics, indent=1))
    atomic_files.write_text(folder / "confusion_matrix.json", json.dumps(matrix))
    atomic_files.write_text(folder / "predictions.csv", predictions_csv(rows, names, class_names))
    if len(class_names) > MOST_CLASSES:
        return None
    sheet = confusion_sheet(counts, class_names)
    atomic_files.write_bytes(folder / "confusion_matrix.png", sheet.png)
    return sheet


def predictions_csv(rows, names, class_names):
    """One line per example: name, prediction, its probability and, where they are known, label and correctness."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    labels = rows.get("labels")
    writer.writerow(["example", "prediction", "probability", *(["label", "correct"] if labels is not None else [])])
    for n, name in enumerate(names):
        best = int(rows["probabilities"][n].argmax())
        line = [name, class_names[best], f"{rows['probabilities'][n, best]:.6f}"]
        writer.writerow([*line, class_names[labels[n]], int(best == labels[n])] if labels is not None else line)
    return text.getvalue()


def confusion_sheet(counts_KK, class_names):
    """The confusion matrix as a picture: colours are shares of the true class, numbers are counts."""
    shares = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    num_classes = len(class_names)
    cell = int(np.clip(900 // num_classes, 8, 64))
    label_room = int(min(220, max(drawing.text_width(name, 13) for name in class_names) + 16))
    left, top = MARGIN + label_room, drawing.heading_height(1)
    side = cell * num_classes
    paper = Paper(width=max(left + side + MARGIN + 120, 640), height=top + side + label_room + MARGIN)
    paper.heading(
        "Confusion matrix", ["Rows: true class. Columns: predicted class. Colour: share of the row."], left + side
    )
    colours = colour_maps.colours(shares, "viridis", 0.0, 1.0)
    for row, column in np.ndindex(counts_KK.shape):
        x, y, colour = left + column * cell, top + row * cell, tuple(int(c) for c in colours[row, column])
        paper.draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=colour)
        if cell >= 32 and counts_KK[row, column]:
            fill = (24, 24, 24) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
            text = str(counts_KK[row, column])
            paper.text(x + cell / 2 - 1, y + cell / 2, text, size=12, fill=fill, anchor="mm")
    every = max(1, 14 // cell)
    for k, name in enumerate(class_names):
        if k % every == 0:
            centre = k * cell + cell / 2
            paper.text(
                left - 8, top + centre, drawing.shorten(name, 13, label_room - 8), fill=MUTED, anchor="rm", size=13
            )
            _vertical_text(paper, left + centre, top + side + 6, drawing.shorten(name, 13, label_room - 8))
    paper.colour_bar(left + side + 14, top, side, vmin=0.0, vmax=1.0, colour_map="viridis")
    return Sheet(
        image=paper.array(),
        title="Confusion matrix",
        caption="Rows: true class. Columns: predicted class.",
        vmin=0,
        vmax=1,
    )


def _vertical_text(paper, x, y, text):
    """One line of text read from bottom to top, its end at the top of (x, y)."""
    width, height = int(drawing.text_width(text, 13)) + 2, 18
    line = Paper(width=width, height=height)
    line.text(width, height / 2, text, fill=MUTED, anchor="rm", size=13)
    paper.picture.paste(line.picture.transpose(Image.Transpose.ROTATE_90), (int(x - height / 2), int(y)))
