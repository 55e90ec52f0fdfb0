"""Charts as inline SVG, in the colours of the page that they stand in, each with a table of its numbers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import StringIO
from itertools import chain
from typing import Any

from amrbench.errors import DataError
from amrbench.pages.page import Cell, Markup, data_table, details

COLOURS = 6
"""Of series; further ones have other dashes."""
_WIDTH, _HEIGHT = 4.6, 3.2  # inches; small enough for a phone, where letters keep their size
_LEGEND_ROW, _INTERVAL_ROW = 0.17, 0.36  # inches
_LONGEST_NAME = 34
_DASHES = ("-", "--", ":", "-.")
_MARKERS = "osD^vP"
_VARIABLES = {
    "#0a0a01": "var(--ink)",
    "#0a0a02": "var(--faint)",
    "#0a0a03": "var(--line)",
    **{f"#0b0b0{number}": f"var(--series-{number})" for number in range(1, COLOURS + 1)},
}
"""Colours that are drawn with, and what stands in the page instead."""
_INK, _FAINT, _LINE, *_SERIES = _VARIABLES
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "amrbench",
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": _INK,
    "text.parse_math": False,  # Names and values of annotations are text, also with "$".
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    **{f"{axis}tick.color": _FAINT for axis in "xy"},
    **{f"{axis}tick.labelcolor": _INK for axis in "xy"},
}


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: No other series of the chart has it.
        x: (N,) of the points; numbers that grow, or names that all series have.
        y: (N,) of the points; None where there is none.
        colour: Number of its colour and dashes, from 0.
    """

    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float | None]
    colour: int


@dataclass(frozen=True)
class LineChart:
    """Lines over numbers or names.

    Attributes:
        title: As text.
        about: What is drawn, in a sentence.
        x_label: What is to the right, with its unit.
        y_label: What is upwards, with its unit.
        series: At least one.
        from_zero: Whether the axis upwards begins at 0.
        diagonal: Whether a line marks where both are equal.
    """

    title: str
    about: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    from_zero: bool = True
    diagonal: bool = False

    def html(self) -> Markup:
        """Return the chart with its table; DataError if matplotlib is not installed."""
        height = _HEIGHT + _LEGEND_ROW * len(self.series)
        return _figure(self.title, self.about, _svg(self._draw, height), self._rows())

    def _draw(self, figure: Any) -> None:
        axis = figure.subplots()
        if self.diagonal:
            axis.axline((0, 0), slope=1, color=_FAINT, linewidth=0.8, linestyle=":")
        few = max(len(one.x) for one in self.series) <= 12
        lines: list[Any] = []
        for one in self.series:
            colour = one.colour % COLOURS
            lines += axis.plot(
                one.x,
                [float("nan") if value is None else value for value in one.y],
                color=_SERIES[colour],
                linestyle=_DASHES[one.colour // COLOURS % len(_DASHES)],
                linewidth=1.5,
                marker=_MARKERS[colour] if few else None,
                markersize=4,
                clip_on=False,
            )
        if self.from_zero:
            axis.axhline(0, linewidth=0)
            axis.set_ylim(bottom=0)
        if all(isinstance(x, int) for one in self.series for x in one.x):
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel(self.x_label)
        axis.set_ylabel(self.y_label)
        if len(lines) > 1:
            _add_legend(figure, lines, [_short(one.name) for one in self.series])

    def _rows(self) -> list[dict[str, Cell]]:
        values = [dict(zip(one.x, one.y, strict=True)) for one in self.series]
        points = dict.fromkeys(chain.from_iterable(one.x for one in self.series))
        ordered = list(points) if any(isinstance(x, str) for x in points) else sorted(points)  # type: ignore[type-var]
        return [
            {
                self.x_label: x if isinstance(x, str) else f"{x:g}",
                **{one.name: _number(own.get(x)) for one, own in zip(self.series, values, strict=True)},
            }
            for x in ordered
        ]


@dataclass(frozen=True)
class Interval:
    """A number with an interval around it, and what it is of."""

    name: str
    value: float
    low: float
    high: float
    colour: int


@dataclass(frozen=True)
class IntervalChart:
    """Numbers with intervals, one below the other, and a line at 0.

    Attributes:
        title: As text.
        about: What is drawn, in a sentence.
        names: What the names are of.
        label: What the numbers are, with their unit.
        intervals: At least one; their names differ.
    """

    title: str
    about: str
    names: str
    label: str
    intervals: Sequence[Interval]

    def html(self) -> Markup:
        """Return the chart with its table; DataError if matplotlib is not installed."""
        rows: list[dict[str, Cell]] = [
            {
                self.names: one.name,
                self.label: _number(one.value),
                "from": _number(one.low),
                "to": _number(one.high),
            }
            for one in self.intervals
        ]
        height = 0.7 + _INTERVAL_ROW * len(self.intervals)
        return _figure(self.title, self.about, _svg(self._draw, height), rows)

    def _draw(self, figure: Any) -> None:
        axis = figure.subplots()
        axis.axvline(0, color=_FAINT, linewidth=1, zorder=0)
        for row, one in enumerate(self.intervals):
            colour = _SERIES[one.colour % COLOURS]
            axis.plot([one.low, one.high], [row, row], color=colour, linewidth=2)
            axis.plot([one.value], [row], color=colour, marker=_MARKERS[one.colour % COLOURS], markersize=6)
            at = axis.get_yaxis_transform()
            axis.text(0, row - 0.2, _short(one.name), transform=at, fontsize=8)
        axis.set_ylim(len(self.intervals) - 0.5, -0.9)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_xlabel(self.label)


def chart_grid(charts: Sequence[Markup]) -> Markup:
    """Return charts beside each other as far as the page is wide enough."""
    return Markup('<div class="charts">\n' + "\n".join(charts) + "\n</div>")


def refuse_without_matplotlib() -> None:
    """Raise DataError if charts cannot be drawn, so that it fails before anything is computed."""
    _matplotlib()


def _figure(title: str, about: str, svg: str, rows: Sequence[Mapping[str, Cell]]) -> Markup:
    """Return a drawing with its title, description and numbers."""
    prefix = f"c{sha256((title + about + svg).encode('utf-8', 'backslashreplace')).hexdigest()[:8]}-"
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}", svg)  # Ids differ in all of the page.
    names = (
        f'<title id="{prefix}title">{escape(title)}</title><desc id="{prefix}about">{escape(about)}</desc>'
    )
    svg = body.replace(
        "<svg ", f'<svg role="img" aria-labelledby="{prefix}title" aria-describedby="{prefix}about" ', 1
    )
    svg = re.sub(r"(<svg[^>]*>)", lambda opening: opening[1] + names, svg, count=1)
    align = ["left", *["right"] * (len(rows[0]) - 1)]
    table = details("Numbers", data_table(title, rows, align=align))
    return Markup(f"<figure>\n<figcaption>{escape(title)}</figcaption>\n{svg}\n{table}\n</figure>")


def _add_legend(figure: Any, lines: Sequence[Any], names: Sequence[str]) -> None:
    """Put a legend below a chart."""
    look = {"loc": "outside lower left", "frameon": False, "borderpad": 0, "labelspacing": 0.2}
    # Some versions of matplotlib leave out labels that begin with "_", so each line gets its name afterwards.
    legend = figure.legend(lines, [f"line {number}" for number in range(len(lines))], **look)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _svg(draw: Callable[[Any], None], height: float) -> str:
    """Return what `draw` puts on a figure of some inches, in the colours of the page."""
    matplotlib, new_figure, canvas = _matplotlib()
    text = StringIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The browser has the letters that the font of matplotlib lacks.
        figure = new_figure(figsize=(_WIDTH, height), layout="constrained")
        canvas(figure)
        draw(figure)
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    svg = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for size in ("width", "height"):  # The page sets them.
        svg = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", svg, count=1)
    return re.sub("|".join(_VARIABLES), lambda colour: _VARIABLES[colour[0]], svg).strip()


def _number(value: float | None) -> Markup:
    """Return a number with four digits, and all of them as the value of its element."""
    return Markup("" if value is None else f'<data value="{value!r}">{value:.4g}</data>')


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _matplotlib() -> tuple[Any, Any, Any]:
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(
            "charts need the package matplotlib. Install it with 'pip install amrbench[plot]'."
        ) from error
    return matplotlib, Figure, FigureCanvasSVG
