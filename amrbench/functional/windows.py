"""Arithmetic of windows, (start, end) in seconds, on numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amrbench.types import Floats

_SHORTEST = 1e-9  # lower bound of a union, because two equal points would give 0/0


def iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> Floats:
    """Return (N, M) the intersection over union of windows (N, 2 or more) and (M, 2 or more).

    Columns after start and end are ignored. Two equal points have 0.
    """
    start, end = np.asarray(one[:, :2], np.float64).T[:, :, None]
    begin, stop = np.asarray(other[:, :2], np.float64).T
    shared = np.maximum(np.minimum(end, stop) - np.maximum(start, begin), 0)
    union = end - start + stop - begin - shared
    return np.asarray(shared / np.maximum(union, _SHORTEST), dtype=np.float64)
