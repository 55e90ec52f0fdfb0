"""Random temporal shift: report, section 3.2.

From the report: audio features and true windows are moved by one random offset. From the team's public code:
the distribution of the offset, the probability of 0.8, the margin of 3 frames and the limit of 300. Three
defects of that code are fixed: it makes labels with the duration from before the shift, so that frames are
off by the ratio of the lengths; one version cuts the temporal embedding a row too short; and the limit on the
length is the one of video. There a recording of 60 s may grow to 300; here it keeps its length unless
`growth` says otherwise, since the report says that the shift costs no computation. That and the cyclic shift
are our choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from amrbench.functional.targets import as_windows
from amrbench.types import Floats, Query, Rows

Draw = Callable[["Excerpt", np.random.Generator], int]
"""Draws an offset in rows."""
Shift = Callable[["Excerpt", int], "Excerpt"]
"""Moves rows and windows by an offset."""


@dataclass(frozen=True)
class Excerpt:
    """Feature rows and the true windows in them, in rows."""

    rows: Rows
    """(T, Da)"""
    windows: Floats
    """(W, 2) start and end; at least one, all within the rows."""


@dataclass(frozen=True)
class ShiftLimits:
    """How far windows may move.

    Attributes:
        margin: Rows that stay between a window and an edge that moves towards it.
        growth: Times its own length that a recording may grow to.
        longest: Rows that it may grow to at most; a longer one keeps its length.
    """

    margin: int
    growth: float
    longest: int

    def dropped(self, excerpt: Excerpt) -> int:
        """Return the largest number of rows that may be dropped at the start."""
        return max(0, math.floor(float(excerpt.windows.min())) - self.margin)

    def added(self, excerpt: Excerpt) -> int:
        """Return the largest number of rows that may be added at the start."""
        return max(0, self.length(excerpt) - math.ceil(float(excerpt.windows.max())) - self.margin)

    def length(self, excerpt: Excerpt) -> int:
        """Return the number of rows that a recording may grow to; never fewer than it has."""
        return max(len(excerpt.rows), min(self.longest, math.floor(self.growth * len(excerpt.rows))))

    def draw(self, excerpt: Excerpt, rng: np.random.Generator) -> int:
        """Draw a normal offset within the limits; its standard deviation is half of the larger one."""
        dropped, added = self.dropped(excerpt), self.added(excerpt)
        return max(-dropped, min(added, int(rng.normal(0, max(dropped, added) / 2))))

    def pad_or_crop(self, excerpt: Excerpt, offset: int) -> Excerpt:
        """Add silent rows at the start and cut the end to the limit, or drop rows at the start."""
        if offset <= 0:
            return Excerpt(excerpt.rows[-offset:], excerpt.windows + offset)
        rows = np.pad(excerpt.rows, ((offset, 0), (0, 0)))[: self.length(excerpt)]
        return Excerpt(rows, excerpt.windows + offset)


def draw_cyclic(excerpt: Excerpt, rng: np.random.Generator) -> int:
    """Draw any offset of a cyclic shift that cuts no window in two."""
    length = len(excerpt.rows)
    starts = np.arange(length)
    low, high = np.floor(excerpt.windows[:, :1]), np.ceil(excerpt.windows[:, 1:])
    free = starts[~((low < starts) & (starts < high)).any(0)]
    return int(-free[rng.integers(len(free))] % length)


def roll(excerpt: Excerpt, offset: int) -> Excerpt:
    """Move all rows; those that leave at the end come back at the start."""
    length = len(excerpt.rows)
    windows = excerpt.windows + offset
    windows -= length * (np.floor(windows[:, :1]) >= length)
    return Excerpt(np.roll(excerpt.rows, offset, axis=0), windows)


class Shifter:
    """Moves rows and windows of a query by one offset."""

    def __init__(self, draw: Draw, shift: Shift, *, probability: float) -> None:
        self.draw, self.shift, self.probability = draw, shift, probability

    def __call__(self, rows: Rows, query: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
        """Return rows and query, moved together or unchanged."""
        windows = np.clip(as_windows(query.windows) / hop, 0, len(rows))
        excerpt = Excerpt(rows, windows[windows[:, 1] > windows[:, 0]])
        if rng.random() >= self.probability or not len(excerpt.windows):
            return rows, query
        offset = self.draw(excerpt, rng)
        if offset == 0:
            return rows, query
        moved = self.shift(excerpt, offset)
        # Labels are made with the duration, so it must be that of the new rows.
        duration = len(moved.rows) * hop
        seconds = tuple((float(start), float(end)) for start, end in moved.windows * hop)
        return moved.rows, replace(query, windows=seconds, duration=duration)
