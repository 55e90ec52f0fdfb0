"""What a perfect choice would reach: of one of the first k predicted windows, or of windows on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.functional.matched_windows import MatchedWindows
from amrbench.functional.official_evaluator import RaggedArray
from amrbench.types import Floats

KS = (1, 2, 3, 5, 10)
_STEPS = (10.0, 5.0, 2.0, 1.0, 0.5, 0.25, 0.2, 0.1)
_NEAR = 1e-6  # seconds; files have four decimals


@dataclass(frozen=True)
class OracleRecall:
    """The recall if the best of the first k windows of each query were known: R@k.

    Attributes:
        k: Number of windows.
        overlap: Mean over the queries of the largest IoU, in percent.
        recall: Percent of queries by threshold of the IoU.
    """

    k: int
    overlap: float
    recall: Mapping[float, float]


@dataclass(frozen=True)
class GridCeiling:
    """The best recall of one window for each query whose start and end are multiples of a step.

    Attributes:
        step: Seconds.
        overlap: Mean over the queries of the largest IoU, in percent.
        recall: Percent of queries by threshold of the IoU.
    """

    step: float
    overlap: float
    recall: Mapping[float, float]


def oracle_recall(windows: MatchedWindows, ious: Sequence[float]) -> tuple[OracleRecall, ...]:
    """Return the recall for 1, 2, 3, 5 and 10 windows, and for the longest list where it is longer."""
    longest = int(windows.listed.counts.max(initial=0))
    ks = [*KS, *([longest] if longest > KS[-1] else [])]
    return tuple(OracleRecall(k, *_recall(windows.best_overlap(k), ious)) for k in ks)


def grid_ceiling(truth: RaggedArray, step: float, ious: Sequence[float]) -> GridCeiling:
    """Return what windows on a grid can reach.

    Args:
        truth: Annotated windows of the queries; at least one for each, none of length zero.
        step: Distance of two points of the grid in seconds; 0 is one of them.
        ious: Thresholds.
    """
    start, end = truth.values[:, 0], truth.values[:, 1]
    before, after = (rounding(truth.values[:, :2] / step) * step for rounding in (np.floor, np.ceil))
    best = np.zeros(len(truth.values))
    for first in (before[:, 0], after[:, 0]):  # Further points of the grid are worse for a window.
        for last in (before[:, 1], after[:, 1]):
            shared = np.minimum(end, last) - np.maximum(start, first)
            hull = np.maximum(end, last) - np.minimum(start, first)
            best = np.maximum(best, np.where(shared > 0, shared / hull, 0.0))
    overlap = np.maximum.reduceat(best, truth.offsets[:-1])
    return GridCeiling(step, *_recall(overlap, ious))


def grid_step(windows: MatchedWindows) -> float:
    """Return the largest usual step in seconds of which all predicted starts are multiples, or 0.

    Ends may be those of recordings. Without a start after 0 the step is not known, and 0 too.
    """
    starts = windows.listed.values[:, 0]
    if not (starts > 0).any():
        return 0.0
    return next((step for step in _STEPS if _on_grid(starts, step)), 0.0)


def _on_grid(seconds: Floats, step: float) -> bool:
    return bool((np.abs(seconds - np.round(seconds / step) * step) < _NEAR).all())


def _recall(overlap: Floats, ious: Sequence[float]) -> tuple[float, dict[float, float]]:
    """Return the mean and, by threshold, the percent of queries that reach it."""
    return 100 * float(overlap.mean()), {iou: 100 * float((overlap >= iou).mean()) for iou in ious}
