"""Scores that are computed from the evidence."""

from __future__ import annotations

import numpy as np

from amrbench.types import Candidates, Query, Ranking
from amrbench_plugins.ranking.choice import Rescore

SHARES = tuple(step / 10 for step in range(11))
WEIGHTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def class_iou(candidates: Candidates, share: float) -> Candidates:
    """Score by class^(1 - share) * iou^share; 0^0 is 1."""
    class_, overlap = (candidates.evidence[name].clip(min=0) for name in ("class", "iou"))
    return candidates.with_scores((class_ ** (1 - share) * overlap**share).astype(np.float32))


def saliency_contrast(candidates: Candidates, weight: float) -> Candidates:
    """Add the weighted difference of the saliency inside and outside to the score."""
    inside, outside = (candidates.evidence[f"saliency.{where}"] for where in ("inside", "outside"))
    return candidates.with_scores((candidates.moments[:, 2] + weight * (inside - outside)).astype(np.float32))


def rescoring(rescore: Rescore, value: float) -> Ranking:
    """Return the step that gives each list the scores of one value."""

    def rank(candidates: Candidates, query: Query) -> Candidates:
        return rescore(candidates, value)

    return rank
