"""The official moment-retrieval evaluator as pure functions on ragged arrays.

The rules of the official evaluator are in `docs/metrics.md`. Nothing is padded: only overlapping pairs of a
predicted ("listed") window and an annotated window are processed, and greedy matching visits all queries and
all thresholds at once, by (rank, choice).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from amrbench.types import Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(10, 20))
"""IoU thresholds of average precision: 0.5, 0.55, ..., 0.95."""
LISTED = 10
"""Predicted windows of a query that average precision considers."""
BLOCK = 8192  # queries at a time; their pairs fit into the cache of the processor


@dataclass(frozen=True)
class RaggedArray:
    """A variable number of rows for each of Q queries, concatenated.

    Attributes:
        values: (N, C) all rows; query q owns `values[offsets[q]:offsets[q + 1]]`.
        offsets: (Q + 1,) ascending from 0 to N.
    """

    values: Floats
    offsets: Ints

    @classmethod
    def of(cls, values: Floats, counts: Ints) -> RaggedArray:
        """Return the array of all rows (N, C) and the number of rows of each query (Q,)."""
        return cls(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @cached_property
    def counts(self) -> Ints:
        """Return (Q,) the number of rows of each query."""
        return np.diff(self.offsets)

    @cached_property
    def query(self) -> Ints:
        """Return (N,) the query of each row."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def position(self) -> Ints:
        """Return (N,) the position of each row among the rows of its query, from 0."""
        return np.arange(len(self.values)) - self.offsets[self.query]

    def keep(self, kept: Bools) -> RaggedArray:
        """Return the rows where `kept` (N,) is True; a query may have none of them."""
        counts = np.bincount(self.query[kept], minlength=len(self.counts))
        return RaggedArray.of(self.values[kept], counts)

    def block(self, first: int, last: int) -> RaggedArray:
        """Return the rows of the queries from `first` up to, but not including, `last`."""
        offsets = self.offsets[first : last + 1]
        return RaggedArray(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class OverlappingPairs:
    """Pairs of a listed and an annotated window of one query that overlap.

    Attributes:
        listed: (K,) row of the listed window.
        target: (K,) row of the annotated window.
        iou: (K,) intersection over union.
        hull: (K,) intersection over the hull of both; differs from `iou` by rounding only.
    """

    listed: Ints
    target: Ints
    iou: Floats
    hull: Floats

    def only(self, kept: Bools | Ints) -> OverlappingPairs:
        """Return the pairs of a mask or of indices."""
        return OverlappingPairs(self.listed[kept], self.target[kept], self.iou[kept], self.hull[kept])


def evaluate_arrays(listed: RaggedArray, truth: RaggedArray, *, depth: int) -> tuple[Floats, Floats]:
    """Return the `best_overlap` (Q, K) and the `average_precision` (Q, 10) of each of Q queries.

    Args:
        listed: Start, end (seconds) and score of the windows of each query, best first.
        truth: Start and end of the annotated windows; at least one for each query, none of length zero.
        depth: The largest k of recall; K is smaller if every list is shorter.
    """
    depth = max(1, min(depth, int(listed.counts.max(initial=0))))
    listed = listed.keep(listed.position < max(depth, LISTED))
    overlap, precision = [], []
    for first in range(0, len(truth.counts), BLOCK):
        listed_block, truth_block = (rows.block(first, first + BLOCK) for rows in (listed, truth))
        pairs = overlapping_pairs(listed_block, truth_block)
        overlap.append(best_overlap(pairs, listed_block, depth))
        precision.append(average_precision(pairs, listed_block, truth_block))
    return np.concatenate(overlap), np.concatenate(precision)


def overlapping_pairs(listed: RaggedArray, truth: RaggedArray) -> OverlappingPairs:
    """Return all pairs of a listed and an annotated window of one query that overlap."""
    choices = truth.counts[listed.query]
    first = np.cumsum(choices) - choices
    window = np.repeat(np.arange(len(listed.values)), choices)
    target = np.arange(len(window)) + np.repeat(truth.offsets[listed.query] - first, choices)
    start, end = listed.values[:, 0], listed.values[:, 1]
    begin, stop = truth.values[:, 0], truth.values[:, 1]
    shared = np.minimum(end[window], stop[target]) - np.maximum(start[window], begin[target])
    near = np.flatnonzero(shared > 0)
    window, target, shared = window[near], target[near], shared[near]
    union = (end - start)[window] + (stop - begin)[target] - shared
    hull = np.maximum(end[window], stop[target]) - np.minimum(start[window], begin[target])
    return OverlappingPairs(window, target, shared / union, shared / hull)


def best_overlap(pairs: OverlappingPairs, listed: RaggedArray, depth: int) -> Floats:
    """Return (Q, depth) the largest overlap of the first 1, 2, ... listed windows with an annotated window.

    A listed window is compared with the annotated window of the largest IoU, the earlier one at a tie. Their
    overlap is intersection over hull, as in the official evaluator for R1.
    """
    best = np.zeros((len(listed.counts), depth))
    pairs = pairs.only(listed.position[pairs.listed] < depth)
    chosen = nearest_targets(pairs)
    best[listed.query[chosen.listed], listed.position[chosen.listed]] = chosen.hull
    return np.maximum.accumulate(best, axis=1)


def nearest_targets(pairs: OverlappingPairs) -> OverlappingPairs:
    """Return one pair for each listed window: that of the largest IoU, the earlier target at a tie."""
    if not len(pairs.listed):
        return pairs
    begins, sizes = _runs(pairs.listed)
    top = np.flatnonzero(pairs.iou == np.repeat(np.maximum.reduceat(pairs.iou, begins), sizes))
    return pairs.only(top[_runs(pairs.listed[top])[0]])


def average_precision(pairs: OverlappingPairs, listed: RaggedArray, truth: RaggedArray) -> Floats:
    """Return (Q, 10) the area under the interpolated precision at each of `THRESHOLDS`."""
    matches = greedy_matches(pairs, listed, len(truth.values))
    hits = matches.sum(axis=1)
    area, best = np.zeros(hits.shape), np.zeros(hits.shape)
    # From the last rank to the first: the interpolated precision is the best at this rank or a later one.
    for rank in reversed(range(min(LISTED, int(listed.counts.max(initial=0))))):
        step = matches[:, rank]
        best = np.where(step, np.maximum(best, hits / (rank + 1)), best)
        area += np.where(step, best, 0.0)
        hits = hits - step
    return area / truth.counts[:, None]


def greedy_matches(pairs: OverlappingPairs, listed: RaggedArray, targets: int) -> Bools:
    """Return (Q, 10, 10), True if the window of a rank is matched to an annotated window at a threshold.

    Windows are matched in the order of their scores. Each takes the unmatched annotated window of the largest
    IoU, the later one at a tie, if that IoU reaches the threshold.
    """
    thresholds = np.array(THRESHOLDS)
    near = pairs.iou >= thresholds[0]
    pairs = pairs.only(near & (listed.position[pairs.listed] < LISTED))
    ranks = score_ranks(listed)
    taken = np.zeros((targets, len(thresholds)), dtype=bool)
    matches = np.zeros((len(listed.counts), LISTED, len(thresholds)), dtype=bool)
    for pair in _rounds(pairs, ranks):
        target, query, rank = pair.target, listed.query[pair.listed], ranks[pair.listed]
        hit = (pair.iou[:, None] >= thresholds) & ~taken[target] & ~matches[query, rank]
        taken[target] |= hit
        matches[query, rank] |= hit
    return matches


def score_ranks(listed: RaggedArray) -> Ints:
    """Return (N,) the rank by score among the first ten listed windows; ties keep the listed order.

    Windows after the tenth have no rank; their entries are 0 and must not be used.
    """
    ranked = listed.position < LISTED
    query, position = listed.query[ranked], listed.position[ranked]
    scores = np.full((len(listed.counts), LISTED), -np.inf)
    scores[query, position] = listed.values[ranked, 2]
    rank = np.empty(scores.shape, dtype=np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.put_along_axis(rank, order, np.arange(LISTED)[None], axis=1)
    ranks = np.zeros(len(listed.values), dtype=np.int64)
    ranks[ranked] = rank[query, position]
    return ranks


def _rounds(pairs: OverlappingPairs, ranks: Ints) -> Iterator[OverlappingPairs]:
    """Yield pairs by (rank of the listed window, its choice); a query has at most one pair in a round."""
    pairs = pairs.only(np.lexsort((-pairs.target, -pairs.iou, pairs.listed)))
    begins, sizes = _runs(pairs.listed)
    choice = np.arange(len(pairs.listed)) - np.repeat(begins, sizes)
    turn = ranks[pairs.listed] * (choice.max(initial=0) + 1) + choice
    order = np.argsort(turn, kind="stable")
    for group in np.split(order, _runs(turn[order])[0][1:]):
        yield pairs.only(group)


def _runs(ordered: Ints) -> tuple[Ints, Ints]:
    """Return the index of the first element of each run of equal values, and the length of each run."""
    changes = np.flatnonzero(np.diff(ordered)) + 1
    begins = np.concatenate([np.zeros(min(1, len(ordered)), dtype=np.int64), changes])
    return begins, np.diff(np.append(begins, len(ordered)))
