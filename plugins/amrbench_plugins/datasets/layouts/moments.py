"""The moments of one query: exact starts and ends in a recording, and the windows that people write down."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from amrbench.types import Floats, Window
from amrbench_plugins.datasets.layouts.laws import Annotators, LogNormal, Widths
from amrbench_plugins.datasets.layouts.streams import Rng

_LEAST_GAP = 3.0
"""Seconds between moments of one query, so that their windows do not touch."""
_GAPS_SHARE = 0.4
"""Of a recording, at most, that such gaps need."""


def least_gap(count: int, seconds: float) -> float:
    """Return the seconds that `count` moments of one query keep between them in a recording."""
    return min(_LEAST_GAP, _GAPS_SHARE * seconds / count)


def draw_widths(rng: Rng, law: Widths, median: float, *, factor: float, count: int, seconds: float) -> Floats:
    """Return (count,) widths in seconds which fit into `seconds`, with gaps between them.

    Args:
        rng: Draws the factor of each window.
        law: How widths vary.
        median: In seconds, for one window in 300 s.
        factor: Of the query: a number of standard deviations.
        count: Number of windows.
        seconds: Length of the recording.
    """
    logs = math.log(median) - law.thinning * math.log(count) + law.scaling * math.log(seconds / 300)
    widths = np.exp(logs + law.between * factor + law.within * rng.standard_normal(count))
    widths /= 1 + widths.sum() / (law.room * seconds)
    widths = np.maximum(widths, law.shortest)
    room = seconds - count * least_gap(count, seconds)
    return np.asarray(widths * min(1.0, room / widths.sum()))


def arrange(rng: Rng, widths: Floats, gap: LogNormal, *, seconds: float) -> list[Window]:
    """Return exact moments of these widths, in order, with gaps that are narrowed if they do not fit."""
    count = len(widths)
    least = least_gap(count, seconds)
    # Those before the first moment and after the last one count too, or crowded moments would begin at 0.
    extra = np.array([max(gap.draw(rng) - least, 0.0) for _ in range(count + 1)])
    room = seconds - float(widths.sum()) - (count - 1) * least
    gaps = least + extra[1:-1] * min(1.0, room / max(float(extra.sum()), 1e-9))
    starts = np.concatenate([[0.0], np.cumsum(widths[:-1] + gaps)])
    starts += rng.uniform(0, max(0.0, seconds - float(starts[-1] + widths[-1])))
    return [(float(start), float(start + width)) for start, width in zip(starts, widths, strict=True)]


def overlap(first: Sequence[Window], second: Sequence[Window]) -> float:
    """Return the seconds that two lists of disjoint windows share."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)


def write_down(
    rng: Rng, moments: Sequence[Window], annotators: Annotators, *, seconds: float
) -> tuple[Window, ...]:
    """Return windows of the moments as people give them: disjoint, in order, inside the recording."""
    step, windows = annotators.step, list[Window]()
    for start, end in moments:
        ends = np.array([start, end]) + rng.normal(0, annotators.jitter, 2)
        first = min(max(math.floor(ends[0] / step), 0), round(seconds / step) - 1)
        last = min(max(math.ceil(ends[1] / step), first + 1), round(seconds / step))
        window = (round(first * step, 3), round(last * step, 3))
        if windows and window[0] <= windows[-1][1]:
            window = (windows.pop()[0], window[1])
        windows.append(window)
    return tuple(windows)
