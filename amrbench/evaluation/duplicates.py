"""Predicted moments that repeat a better one of the same query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amrbench.functional.matched_windows import MatchedWindows
from amrbench.functional.official_evaluator import BLOCK, Bools, RaggedArray

TOP = 5
ALIKE = 0.7


@dataclass(frozen=True)
class Duplicates:
    """How many of the first k moments of a query are nearly the same.

    Attributes:
        k: Number of moments.
        iou: Two moments of at least this IoU are duplicates.
        queries: Percent of the queries that have such a pair.
        pairs: Mean number of such pairs for a query.
        listed: Mean number of moments among the first k.
        distinct: Mean number that is left when moments are removed that duplicate a better one that is left.
    """

    k: int
    iou: float
    queries: float
    pairs: float
    listed: float
    distinct: float


def duplicates(windows: MatchedWindows, k: int = TOP, iou: float = ALIKE) -> Duplicates:
    """Count the duplicates among the first k moments of all queries."""
    counted = [
        _counts(windows.listed.block(first, first + BLOCK), k, iou)
        for first in range(0, windows.queries, BLOCK)
    ]
    pairs, listed, distinct = np.concatenate(counted).T
    means = (float(own.mean()) for own in (pairs, listed, distinct))
    return Duplicates(k, iou, 100 * float((pairs > 0).mean()), *means)


def _counts(listed: RaggedArray, k: int, iou: float) -> NDArray[np.int64]:
    """Return (Q, 3) the pairs, the moments, and the distinct moments of each query."""
    alike, real = _alike(listed, k, iou)
    kept = real.copy()
    for rank in range(1, k):
        kept[:, rank] &= ~(alike[:, rank, :rank] & kept[:, :rank]).any(axis=1)
    pairs = np.triu(alike, 1).sum(axis=(1, 2))
    return np.column_stack([pairs, real.sum(axis=1), kept.sum(axis=1)])


def _alike(listed: RaggedArray, k: int, iou: float) -> tuple[Bools, Bools]:
    """Return (Q, k, k), True for real moments that are duplicates, and (Q, k), True for real moments."""
    rows = listed.position < k
    real = np.zeros((len(listed.counts), k), dtype=bool)
    bounds = np.zeros((*real.shape, 2))
    real[listed.query[rows], listed.position[rows]] = True
    bounds[real] = listed.values[rows, :2]
    start, end = bounds[..., 0], bounds[..., 1]
    shared = np.minimum(end[:, :, None], end[:, None]) - np.maximum(start[:, :, None], start[:, None])
    union = (end - start)[:, :, None] + (end - start)[:, None] - shared.clip(min=0)
    # Two equal points have no union; they are duplicates all the same.
    same = (bounds[:, :, None] == bounds[:, None]).all(axis=-1)
    alike = same | ((shared > 0) & (shared >= iou * union))
    return alike & real[:, :, None] & real[:, None], real
