"""Long recordings in windows that overlap, and their moments as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from amrbench.results.fusion import Table, overlaps

OVERLAP = 0.25
"""Share of a window that it has in common with the next."""
SAME = 0.5
"""From this IoU on, moments of two windows are the same moment."""


@dataclass(frozen=True)
class Window:
    """A part of a recording that a model hears at once.

    Attributes:
        start: In rows.
        stop: In rows.
        first: Where its own zone begins, in rows.
        last: Where its own zone ends. Zones lie side by side and cover everything.
    """

    start: int
    stop: int
    first: float
    last: float

    def owns(self, centre: float) -> bool:
        """Say whether a place, in rows of the recording, lies in its zone."""
        return self.first <= centre < self.last


def windows_of(rows: int, longest: int) -> list[Window]:
    """Cut a recording of so many rows into windows of at most `longest` rows.

    The last one is moved back to end where the recording ends. Where two overlap, the border of their zones
    is in the middle, so that each place belongs to the window that hears most around it.
    """
    step = max(1, round(longest * (1 - OVERLAP)))
    starts = list(range(0, max(1, rows - longest + step), step))
    starts[-1] = max(0, rows - longest)
    spans = [(start, min(rows, start + longest)) for start in dict.fromkeys(starts)]
    borders = [(stop + start) / 2 for (_, stop), (start, _) in pairwise(spans)]
    return [
        Window(start, stop, first, last)
        for (start, stop), first, last in zip(spans, [-np.inf, *borders], [*borders, np.inf], strict=True)
    ]


def merged(tables: Sequence[Table], windows: Sequence[Window], hop: float) -> Table:
    """Return the moments of all windows as one list, best first.

    A window answers for the moments whose centre is in its zone. Those that another window found better, with
    an IoU of at least `SAME`, are dropped; moments of one window are left as the model gave them.

    Args:
        tables: (n, 3) of each window, in seconds of the recording.
        windows: As `windows_of` gave them.
        hop: Seconds of a row.
    """
    owned = [
        table[[window.owns((start + end) / 2 / hop) for start, end, _ in table]]
        for table, window in zip(tables, windows, strict=True)
    ]
    every = np.concatenate(owned)
    origin = np.repeat(np.arange(len(owned)), [len(table) for table in owned])
    order = np.argsort(-every[:, 2], kind="stable")
    kept: list[int] = []
    for place in order:
        others = [each for each in kept if origin[each] != origin[place]]
        if not others or overlaps(every[others], every[place]).max() < SAME:
            kept.append(int(place))
    return every[kept]
