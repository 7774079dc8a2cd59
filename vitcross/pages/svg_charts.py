"""Draws charts as inline SVG, without scripts: curves with bands, and points that are links."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

from vitcross.pages.axes import Axis, axis_around
from vitcross.pages.html_page import TEMPLATES
from vitcross.pages.numbers import number

WIDTH, TOP = 360, 10
LETTER = 6.4  # approximate width of a digit in pixels


def shape(tag, *inside, kind=None, **attributes):
    """One SVG element for the template, of the CSS class `kind`, with texts and shapes inside; floats are rounded, and
    `text_anchor` becomes `text-anchor`."""
    known = {"class": kind, **{name.replace("_", "-"): value for name, value in attributes.items()}}
    rounded = {name: f"{value:.1f}" if isinstance(value, float) else value for name, value in known.items()}
    return {"tag": tag, "attributes": rounded, "inside": inside}


class Drawing:
    """The shapes of one SVG of `WIDTH` pixels, in the order in which they are drawn."""

    def __init__(self, height):
        self.width, self.height, self.shapes = WIDTH, height, []

    def add(self, tag, *inside, **attributes):
        self.shapes.append(shape(tag, *inside, **attributes))

    def text(self, x, y, text, anchor="middle", kind=None):
        self.add("text", text, kind=kind, x=float(x), y=float(y), text_anchor=anchor)

    def level(self, y, left, right, kind="grid"):
        """A horizontal line."""
        self.add("line", kind=kind, x1=float(left), y1=float(y), x2=float(right), y2=float(y))

    def numbers(self, ticks, place, y):
        """Numbers along a horizontal axis, except those that would touch the previous one."""
        end = -1.0
        for tick in ticks:
            label = number(tick, 4)
            half = len(label) * LETTER / 2
            x = min(max(place(tick), half), WIDTH - half)
            if x - half > end + 4:
                self.text(x, y, label)
                end = x + half

    def mark(self, x, y, *, href, tip, failed=False, best=False):
        """A point that is a link: a circle, or a cross where there is no value."""
        if failed:
            point = shape("path", kind="failed", d=f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8")
        else:
            point = shape("circle", kind="dot best" if best else "dot", cx=float(x), cy=float(y), r=6 if best else 4)
        self.add("a", shape("title", tip), point, href=href)


class Plot(Drawing):
    """A drawing with two axes; `inset` pixels lie between the ends of the lower one and its values."""

    def __init__(self, across: Axis, up: Axis, *, height=190, left=46, right=12, bottom=24, inset=0):
        super().__init__(height)
        self.across, self.up = across, up
        self.left, self.right, self.base, self.inset = left, WIDTH - right, height - bottom, inset
        for tick in up.ticks:
            self.level(self.y(tick), left, self.right)
            self.text(left - 6, self.y(tick) + 4, number(tick, 4), "end")

    def x(self, value):
        return self.left + self.inset + (self.right - self.left - 2 * self.inset) * self.across.at(value)

    def y(self, value):
        return self.base - (self.base - TOP) * self.up.at(value)

    def points(self, values):
        """Pairs of values as the points of a line."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One series with values: its place among the colors, its name, its points, and its band."""

    place: int
    label: str
    points: list[tuple[float, float]]
    band: tuple[list, list] | None = None  # lower and upper points


def line_figure(title, meaning, lines: list[Line], reference: float | None) -> Markup:
    """A figure of curves over steps, from step 0, with a legend of their last values.

    Args:
        title, meaning: str.
        lines: at least one, with at least one point each.
        reference: float or None, a dashed level.
    """
    everything = [point for line in lines for side in (line.points, *(line.band or ())) for point in side]
    levels = [] if reference is None else [reference]
    last = max(max(step for step, _ in everything), 1)
    across = Axis(0, last, (0, round(last / 2), round(last)))
    plot = Plot(across, axis_around([value for _, value in everything] + levels))
    plot.numbers(across.ticks, plot.x, plot.height - 6)
    for line in lines:
        if line.band:
            corners = plot.points([*line.band[0], *reversed(line.band[1])])
            plot.add("polygon", kind=f"band s{line.place}", points=corners)
    for level in levels:
        plot.level(plot.y(level), plot.left, plot.right, "reference")
    for line in lines:
        if len(line.points) > 1:
            plot.add("polyline", kind=f"series s{line.place}", points=plot.points(line.points))
        step, value = line.points[-1]
        plot.add("circle", kind=f"end s{line.place}", cx=plot.x(step), cy=plot.y(value), r=3)
    legend = [(line.place, line.label, number(line.points[-1][1], 4)) for line in lines]
    words = ", ".join(f"{label} {value}" for _, label, value in legend)
    return figure(title, meaning, plot, f"{title}: {words} at step {last:g}", legend)


def figure(title, meaning, drawing, spoken, legend=()) -> Markup:
    """An HTML figure around a drawing.

    Args:
        title, meaning: str.
        drawing: Drawing.
        spoken: str, the drawing in words.
        legend: triples of a place among the colors, a name and a value.
    """
    macro = TEMPLATES.get_template("pages/chart.html").module.chart
    return macro(title=title, meaning=meaning, drawing=drawing, spoken=spoken, legend=legend)
