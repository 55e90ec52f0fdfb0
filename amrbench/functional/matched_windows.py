"""Predicted windows with the annotated windows that they overlap most, for all models of a system at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.functional.aligned_windows import AlignedWindows
from amrbench.functional.official_evaluator import (
    BLOCK,
    Ints,
    RaggedArray,
    nearest_targets,
    overlapping_pairs,
)
from amrbench.types import Floats


@dataclass(frozen=True, eq=False)
class MatchedWindows:
    """The N predicted windows of Q queries, and the annotated window that is nearest to each.

    Attributes:
        listed: Start, end and score of the predicted windows, best first.
        truth: Start and end of the annotated windows.
        target: (N,) row of the annotated window of the largest IoU, the earlier one at a tie; -1 for a
            predicted window that overlaps none.
        overlap: (N,) their overlap as R@k counts it; 0 without one.
    """

    listed: RaggedArray
    truth: RaggedArray
    target: Ints
    overlap: Floats

    @property
    def queries(self) -> int:
        """Return the number of queries; each counts once for every model."""
        return len(self.truth.counts)

    def best(self, k: int) -> Ints:
        """Return (Q,) the row of the window of the largest overlap among the first k, the earlier at a tie.

        It is -1 for a query none of whose first k windows overlaps an annotated window.
        """
        rows = np.flatnonzero((self.listed.position < k) & (self.target >= 0))
        query = self.listed.query[rows]
        rows = rows[np.lexsort((rows, -self.overlap[rows], query))]
        best = np.full(self.queries, -1)
        owners, first = np.unique(self.listed.query[rows], return_index=True)
        best[owners] = rows[first]
        return best

    def best_overlap(self, k: int) -> Floats:
        """Return (Q,) the largest overlap of the first k windows, as R@k compares it with its threshold."""
        best = self.best(k)
        return np.where(best >= 0, self.overlap[best], 0.0) if len(self.overlap) else np.zeros(self.queries)


def match_windows(models: Sequence[AlignedWindows]) -> MatchedWindows:
    """Return the matched windows of all models, one after another.

    Args:
        models: At least one, e.g. for each seed.
    """
    listed, truth = (_joined([getattr(own, side) for own in models]) for side in ("listed", "truth"))
    target, overlap = np.full(len(listed.values), -1), np.zeros(len(listed.values))
    for first in range(0, len(truth.counts), BLOCK):
        own = [rows.block(first, first + BLOCK) for rows in (listed, truth)]
        pairs = nearest_targets(overlapping_pairs(*own))
        rows = pairs.listed + listed.offsets[first]
        target[rows], overlap[rows] = pairs.target + truth.offsets[first], pairs.hull
    return MatchedWindows(listed, truth, target, overlap)


def _joined(arrays: Sequence[RaggedArray]) -> RaggedArray:
    return RaggedArray.of(
        np.concatenate([array.values for array in arrays]),
        np.concatenate([array.counts for array in arrays]),
    )
