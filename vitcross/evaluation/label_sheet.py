"""Draws how well each of several labels is recognized: its average precision as a bar, the least recognized first."""

from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.sheets.cell_table import label_rows
from vitcross.attention_maps.sheets.drawing import LINE, MARGIN, MUTED, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.pages.numbers import percent

ROW, BAR = 24, 420
FILL = (11, 110, 99)


def label_sheet(precision: dict, images: dict) -> Sheet:
    """The average precision of each label.

    Args:
        precision: label -> average precision, None for a label that no image has.
        images: label -> number of images that have it.
    """
    order = sorted(precision, key=lambda name: (precision[name] is None, precision[name]))
    known = [value for value in precision.values() if value is not None]
    lines = [f"Mean over {len(known)} labels: {percent(sum(known) / len(known))}. The least recognized label first."]
    if len(known) < len(order):
        lines.append(
            f"No image has {len(order) - len(known)} of the {len(order)} labels: undefined, and not part of the mean."
        )
    room = int(min(220, max(drawing.text_width(name, 13) for name in order) + 16))
    left, top = MARGIN + room, drawing.heading_height(len(lines))
    canvas = Canvas(width=max(left + BAR + 190, 640), height=top + ROW * len(order) + MARGIN)
    canvas.heading("Average precision of each label", lines, canvas.image.width - 2 * MARGIN)
    label_rows(canvas, (left, top), [drawing.shorten(name, 13, room - 10) for name in order], ROW)
    for row, name in enumerate(order):
        y, value = top + ROW * row, precision[name]
        canvas.draw.rectangle((left, y + 4, left + BAR, y + ROW - 5), outline=LINE)
        if value is not None:
            canvas.draw.rectangle((left, y + 4, left + BAR * value, y + ROW - 5), fill=FILL)
        text = "undefined" if value is None else f"{100 * value:.1f} %"
        canvas.text(left + BAR + 10, y + ROW / 2, text, anchor="lm")
        canvas.text(left + BAR + 76, y + ROW / 2, f"{images[name]} images", fill=MUTED, size=12, anchor="lm")
    return Sheet(image=canvas.array(), title="Average precision of each label", caption=" ".join(lines), vmin=0, vmax=1)
