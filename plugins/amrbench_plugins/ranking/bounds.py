"""Starts and ends that fit the recording and the grid of the annotations."""

from __future__ import annotations

import numpy as np

from amrbench.types import Candidates, Query

DECIMALS = 4


def clip(candidates: Candidates, query: Query, *, last: float | None) -> Candidates:
    """Clip starts and ends to 0 and the last second; None for the duration of the recording."""
    end = query.duration if last is None else last
    return candidates.with_windows(candidates.moments[:, :2].clip(0, end))


def round_(candidates: Candidates, query: Query, *, step: float) -> Candidates:
    """Round all numbers to four decimals, then starts and ends to multiples of a step in seconds."""
    moments = candidates.moments
    # By way of text, as in the reference; np.round scales by a power of ten and differs at halves.
    values = [float(f"{value:.{DECIMALS}f}") for value in moments.ravel().tolist()]
    decimals = np.array(values, dtype=np.float64).reshape(moments.shape)
    rounded = np.column_stack([np.round(decimals[:, :2] / step) * step, decimals[:, 2:]])
    return Candidates(rounded.astype(np.float32), candidates.evidence)
