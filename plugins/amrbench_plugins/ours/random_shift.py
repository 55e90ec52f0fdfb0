"""Random temporal shift: report, section 3.2.

The report moves audio features and true windows by one random offset. Sources of the defaults: the law of the
offset, the probability of 0.8, the margin of 3 frames and the limit of 300 are those of the team's public
code (mode "pad-crop"). Its defects are mended: labels there are made with the duration from before the shift,
so frames are off by the ratio of the lengths; one version cuts the temporal embedding a row too short; and
the limit on the length is the one of video. There a recording of 60 s may grow to 300; here it keeps its
length unless `growth` says otherwise, for the report says that the shift costs no computation. That and the
modes "uniform-pad" and "cyclic" are our choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench.functional.targets import Floats, as_windows
from amrbench.slots.data import AugmentPart
from amrbench.types import Query

Rows = NDArray[np.float32]
Draw = Callable[["Heard", np.random.Generator], int]
Shift = Callable[["Heard", int], "Heard"]


@dataclass(frozen=True)
class Heard:
    """Feature rows, and where in them something is true, in rows."""

    rows: Rows
    """(T, Da)"""
    windows: Floats
    """(W, 2) start and end; at least one, all within the rows."""

    @property
    def first(self) -> int:
        """Return the first row of the first window."""
        return math.floor(float(self.windows[:, 0].min()))

    @property
    def last(self) -> int:
        """Return the row after the last window."""
        return math.ceil(float(self.windows[:, 1].max()))


@dataclass(frozen=True)
class Room:
    """How far windows may move.

    Attributes:
        margin: Rows that stay between a window and an edge that moves towards it.
        growth: Times its own length that a recording may grow to.
        longest: Rows that it may grow to at most; a longer one keeps its length.
    """

    margin: int
    growth: float
    longest: int

    def left(self, heard: Heard) -> int:
        """Return the number of rows that may go at the start."""
        return max(0, heard.first - self.margin)

    def right(self, heard: Heard) -> int:
        """Return the number of rows that may come at the start."""
        return max(0, self.length(heard) - heard.last - self.margin)

    def length(self, heard: Heard) -> int:
        """Return the number of rows that a recording may grow to; never fewer than it has."""
        return max(len(heard.rows), min(self.longest, math.floor(self.growth * len(heard.rows))))

    def gaussian(self, heard: Heard, rng: np.random.Generator) -> int:
        """Draw a normal offset, cut to the room, whose spread is half of the larger side."""
        left, right = self.left(heard), self.right(heard)
        return max(-left, min(right, int(rng.normal(0, max(left, right) / 2))))

    def uniform(self, heard: Heard, rng: np.random.Generator) -> int:
        """Draw any offset within the room."""
        return int(rng.integers(-self.left(heard), self.right(heard) + 1))

    def padded(self, heard: Heard, offset: int) -> Heard:
        """Put silent rows before the audio and cut what gets too long, or drop rows at its start."""
        if offset <= 0:
            return Heard(heard.rows[-offset:], heard.windows + offset)
        rows = np.pad(heard.rows, ((offset, 0), (0, 0)))[: self.length(heard)]
        return Heard(rows, heard.windows + offset)


def whole_turn(heard: Heard, rng: np.random.Generator) -> int:
    """Draw an offset of a cyclic shift, any that cuts no window in two."""
    length = len(heard.rows)
    starts = np.arange(length)
    low, high = np.floor(heard.windows[:, :1]), np.ceil(heard.windows[:, 1:])
    free = starts[~((low < starts) & (starts < high)).any(0)]
    return int(-free[rng.integers(len(free))] % length)


def turned(heard: Heard, offset: int) -> Heard:
    """Move all rows, and those that leave at the end to the start."""
    length = len(heard.rows)
    windows = heard.windows + offset
    windows -= length * (np.floor(windows[:, :1]) >= length)
    return Heard(np.roll(heard.rows, offset, axis=0), windows)


class Shifter:
    """Moves rows and windows of a query by one offset."""

    def __init__(self, draw: Draw, shift: Shift, *, probability: float) -> None:
        self.draw, self.shift, self.probability = draw, shift, probability

    def __call__(self, rows: Rows, query: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
        """Return rows and query, moved together or as they are."""
        heard = Heard(rows, _within(query, hop, len(rows)))
        if rng.random() >= self.probability or not len(heard.windows):
            return rows, query
        offset = self.draw(heard, rng)
        if offset == 0:
            return rows, query
        moved = self.shift(heard, offset)
        windows = tuple((float(start), float(end)) for start, end in moved.windows * hop)
        # Labels are made with the duration, so it must be that of the rows that are heard now.
        return moved.rows, replace(query, windows=windows, duration=len(moved.rows) * hop)


def _within(query: Query, hop: float, length: int) -> Floats:
    """Return the windows in rows, cut to the rows that there are."""
    windows = np.clip(as_windows(query.windows) / hop, 0, length)
    return windows[windows[:, 1] > windows[:, 0]]


class RandomShift(AugmentPart):
    """Move features and true windows by one random offset (report, section 3.2).

    "pad-crop" puts silent rows before the audio or drops rows at its start, by a normal offset, and
    "uniform-pad" by a uniform one; what gets too long is cut at its end. A window never comes closer than
    `margin` to the edge that moves towards it. "cyclic" keeps all rows: what leaves at the end comes back at
    the start, and no window is cut.
    """

    use = "random-shift"
    version = 2
    mode: Literal["pad-crop", "uniform-pad", "cyclic"] = Field("pad-crop", description="what moves how")
    probability: float = Field(0.8, ge=0, le=1, description="share of visits with a shift")
    margin: int = Field(3, ge=0, description="rows kept between a window and the edge; not in mode cyclic")
    growth: float = Field(
        1.0, ge=1, description="times its own length that a recording may grow to; not in mode cyclic"
    )
    longest: int = Field(
        300, ge=1, description="rows that it may grow to at most; give the recipe's limit of frames"
    )

    def build(self) -> Shifter:
        """Return a function of (audio rows, query, hop, random generator) to new rows and query."""
        room = Room(self.margin, self.growth, self.longest)
        draw, shift = {
            "pad-crop": (room.gaussian, room.padded),
            "uniform-pad": (room.uniform, room.padded),
            "cyclic": (whole_turn, turned),
        }[self.mode]
        return Shifter(draw, shift, probability=self.probability)
