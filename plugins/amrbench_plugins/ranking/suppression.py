"""Moments that overlap better ones are left out, or their scores are lowered."""

from __future__ import annotations

import numpy as np

from amrbench.functional.windows import iou
from amrbench.types import Candidates, Query


def nms(candidates: Candidates, query: Query, *, overlap: float, keep: int) -> Candidates:
    """Keep moments, best first, whose IoU with each one kept before is at most `overlap`."""
    moments, kept = candidates.moments, []
    free = np.ones(len(moments), dtype=bool)
    for row in range(len(moments)):
        if free[row]:
            kept.append(row)
            free &= iou(moments[row : row + 1], moments)[0] <= overlap
        if len(kept) == keep:
            break
    return candidates.at(kept)


def soft_nms(candidates: Candidates, query: Query, *, sigma: float, keep: int) -> Candidates:
    """Take the best moment and lower the scores of the others by their overlap with it, again and again."""
    moments = candidates.moments
    scores, left = moments[:, 2].astype(np.float64), np.ones(len(moments), dtype=bool)
    kept: list[int] = []
    while left.any() and len(kept) < keep:
        best = int(np.where(left, scores, -np.inf).argmax())
        kept.append(best)
        left[best] = False
        falls = -np.expm1(-(iou(moments[best : best + 1], moments)[0] ** 2) / sigma)
        scores = np.where(left, scores - np.abs(scores) * falls, scores)
    return candidates.at(kept).with_scores(scores[kept].astype(np.float32))
