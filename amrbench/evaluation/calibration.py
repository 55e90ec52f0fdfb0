"""Whether scores are probabilities that can be believed: how often moments of some score are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.functional.aligned_windows import AlignedWindows
from amrbench.functional.matched_windows import MatchedWindows

BINS = 10


@dataclass(frozen=True)
class ScoreBin:
    """The moments with a score of at least `low` and below `high`; the last bin holds 1 too.

    Attributes:
        low: From 0 to 1.
        high: From 0 to 1.
        moments: Their number.
        score: Mean of their scores; 0 without moments.
        right: Share of them that is right, from 0 to 1; 0 without moments.
    """

    low: float
    high: float
    moments: int
    score: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """How well the scores of the first k moments of each query say which of them are right.

    Attributes:
        k: Number of moments.
        iou: A moment is right if it has at least this IoU with an annotated window.
        moments: Number of moments.
        score: Mean of their scores.
        right: Share of them that is right, from 0 to 1.
        error: The expected calibration error, from 0 to 1: mean over the moments of the distance between
            mean score and share of right ones in their bin (Naeini, Cooper and Hauskrecht, AAAI 2015).
        bins: Ten bins of equal width.
    """

    k: int
    iou: float
    moments: int
    score: float
    right: float
    error: float
    bins: tuple[ScoreBin, ...]


def are_probabilities(models: Sequence[AlignedWindows]) -> bool:
    """Whether all moments of all models have scores from 0 to 1, and there are any."""
    if not all(own.has_scores for own in models):
        return False
    scores = np.concatenate([own.listed.values[:, 2] for own in models])
    return bool(len(scores) and ((scores >= 0) & (scores <= 1)).all())


def calibration(windows: MatchedWindows, k: int, iou: float) -> Calibration:
    """Return the calibration of scores from 0 to 1; there must be a moment."""
    rows = windows.listed.position < k
    score, right = windows.listed.values[rows, 2], windows.overlap[rows] >= iou
    edges = np.arange(BINS + 1) / BINS
    owner = np.searchsorted(edges[1:-1], score, side="right")
    count, scores, hits = (
        np.bincount(owner, weights, BINS)
        for weights in (np.ones(len(score)), score, right.astype(np.float64))
    )
    filled = np.maximum(count, 1)
    bins = tuple(
        ScoreBin(low, high, int(moments), mean, share)
        for low, high, moments, mean, share in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            count.tolist(),
            (scores / filled).tolist(),
            (hits / filled).tolist(),
            strict=True,
        )
    )
    error = float(np.abs(scores - hits).sum() / len(score))
    return Calibration(k, iou, len(score), float(score.mean()), float(right.mean()), error, bins)
