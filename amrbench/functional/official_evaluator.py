"""The official moment-retrieval evaluator as pure functions on ragged arrays.

What is computed, and from which rules of the official evaluator, is said in `docs/metrics.md`. Nothing is
padded: only pairs of a listed window and an annotated window that overlap are ever looked at, and greedy
matching walks over (rank, choice) for all queries and all thresholds at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(10, 20))
LISTED = 10
BLOCK = 8192


@dataclass(frozen=True)
class RaggedArray:
    """Rows of different length for Q queries, one after another.

    Attributes:
        values: (N, C) all rows; query q owns `values[offsets[q]:offsets[q + 1]]`.
        offsets: (Q + 1,) rising from 0 to N.
    """

    values: Floats
    offsets: Ints

    @classmethod
    def of(cls, values: Floats, counts: Ints) -> RaggedArray:
        """Build from all rows and their number for each query (Q,)."""
        return cls(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @cached_property
    def counts(self) -> Ints:
        """(Q,) rows of each query."""
        return np.diff(self.offsets)

    @cached_property
    def query(self) -> Ints:
        """(N,) the query that owns each row."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def place(self) -> Ints:
        """(N,) place of each row among those of its query, from 0."""
        return np.arange(len(self.values)) - self.offsets[self.query]

    def keep(self, kept: Bools) -> RaggedArray:
        """Leave out rows; a query may be left without any."""
        counts = np.bincount(self.query[kept], minlength=len(self.counts))
        return RaggedArray.of(self.values[kept], counts)

    def block(self, first: int, last: int) -> RaggedArray:
        """Rows of the queries from `first` up to `last`."""
        offsets = self.offsets[first : last + 1]
        return RaggedArray(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class OverlappingPairs:
    """Overlapping pairs, ordered by listed window and then by annotated window.

    Attributes:
        listed: (K,) row of the listed window.
        target: (K,) row of the annotated window.
        iou: (K,) intersection over union.
        hull: (K,) intersection over the hull of both; equal but for the last bits.
    """

    listed: Ints
    target: Ints
    iou: Floats
    hull: Floats

    def only(self, kept: Bools | Ints) -> OverlappingPairs:
        """Choose pairs by mask or by index."""
        return OverlappingPairs(self.listed[kept], self.target[kept], self.iou[kept], self.hull[kept])


@dataclass(frozen=True)
class PerQuery:
    """The evaluator's figures before they are averaged over queries.

    Attributes:
        overlap: (Q, K) largest overlap with an annotated window among the first 1..K listed windows.
        precision: (Q, 10) average precision at each of `THRESHOLDS`.
    """

    overlap: Floats
    precision: Floats


def evaluate_arrays(listed: RaggedArray, truth: RaggedArray, *, depth: int) -> PerQuery:
    """Evaluate Q queries.

    Args:
        listed: Start, end (seconds) and score of the windows of each query, best first.
        truth: Start and end of the annotated windows; at least one a query, none of length zero.
        depth: How many listed windows recall may look at; fewer columns come back if no list is as long.
    """
    depth = max(1, min(depth, int(listed.counts.max(initial=0))))
    listed = listed.keep(listed.place < max(depth, LISTED))
    parts = [
        _evaluate_block(listed.block(first, last), truth.block(first, last), depth)
        for first, last in _blocks(len(truth.counts))
    ]
    return PerQuery(
        overlap=np.concatenate([part.overlap for part in parts]),
        precision=np.concatenate([part.precision for part in parts]),
    )


def overlapping_pairs(listed: RaggedArray, truth: RaggedArray) -> OverlappingPairs:
    """Find all pairs of a listed and an annotated window of one query that share time."""
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
    """(Q, depth) largest overlap with an annotated window among the first 1..depth listed windows.

    The annotated window of a listed one is that of the largest IoU, the earlier one at a tie; the overlap
    with it is taken over the hull, as the official evaluator does for R1.
    """
    best = np.zeros((len(listed.counts), depth))
    pairs = pairs.only(listed.place[pairs.listed] < depth)
    if len(pairs.listed):
        begins = _begins(pairs.listed)
        sizes = np.diff(np.append(begins, len(pairs.listed)))
        top = np.flatnonzero(pairs.iou == np.repeat(np.maximum.reduceat(pairs.iou, begins), sizes))
        chosen = pairs.only(top[_begins(pairs.listed[top])])
        best[listed.query[chosen.listed], listed.place[chosen.listed]] = chosen.hull
    return np.maximum.accumulate(best, axis=1)


def average_precision(pairs: OverlappingPairs, listed: RaggedArray, truth: RaggedArray) -> Floats:
    """(Q, 10) area under the interpolated precision at each of `THRESHOLDS`."""
    found = greedy_matches(pairs, listed, len(truth.values))
    hits = found.sum(axis=1)
    area, best = np.zeros(hits.shape), np.zeros(hits.shape)
    # From the last rank to the first: the precision at a recall step is the best at this step or later.
    for rank in reversed(range(LISTED)):
        step = found[:, rank]
        best = np.where(step, np.maximum(best, hits / (rank + 1)), best)
        area += np.where(step, best, 0.0)
        hits = hits - step
    return area / truth.counts[:, None]


def greedy_matches(pairs: OverlappingPairs, listed: RaggedArray, targets: int) -> Bools:
    """(Q, 10, 10) whether the window of each rank finds a free annotated window at each threshold.

    Windows choose in the order of their score. Each takes the free annotated window of the largest IoU,
    the later one at a tie, if that reaches the threshold.
    """
    thresholds = np.array(THRESHOLDS)
    near = pairs.iou >= thresholds[0]
    pairs = pairs.only(near & (listed.place[pairs.listed] < LISTED))
    ranks = score_ranks(listed)
    taken = np.zeros((targets, len(thresholds)), dtype=bool)
    found = np.zeros((len(listed.counts), LISTED, len(thresholds)), dtype=bool)
    for pair in _rounds(pairs, ranks):
        target, query, rank = pair.target, listed.query[pair.listed], ranks[pair.listed]
        hit = (pair.iou[:, None] >= thresholds) & ~taken[target] & ~found[query, rank]
        taken[target] |= hit
        found[query, rank] |= hit
    return found


def score_ranks(listed: RaggedArray) -> Ints:
    """(N,) rank by score among the first ten listed windows; equal scores keep the listed order.

    Windows beyond the tenth have no rank; theirs is given as 0 and must not be used.
    """
    ranked = listed.place < LISTED
    query, place = listed.query[ranked], listed.place[ranked]
    scores = np.full((len(listed.counts), LISTED), -np.inf)
    scores[query, place] = listed.values[ranked, 2]
    rank = np.empty(scores.shape, dtype=np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.put_along_axis(rank, order, np.arange(LISTED)[None], axis=1)
    ranks = np.zeros(len(listed.values), dtype=np.int64)
    ranks[ranked] = rank[query, place]
    return ranks


def _evaluate_block(listed: RaggedArray, truth: RaggedArray, depth: int) -> PerQuery:
    pairs = overlapping_pairs(listed, truth)
    return PerQuery(best_overlap(pairs, listed, depth), average_precision(pairs, listed, truth))


def _blocks(queries: int) -> Iterator[tuple[int, int]]:
    # Blocks keep the arrays of pairs inside the processor's cache.
    for first in range(0, queries, BLOCK):
        yield first, min(first + BLOCK, queries)


def _rounds(pairs: OverlappingPairs, ranks: Ints) -> Iterator[OverlappingPairs]:
    """Yield pairs by rank of the window, then by its choice; a query has at most one pair in a round."""
    pairs = pairs.only(np.lexsort((-pairs.target, -pairs.iou, pairs.listed)))
    begins = _begins(pairs.listed)
    sizes = np.diff(np.append(begins, len(pairs.listed)))
    choice = np.arange(len(pairs.listed)) - np.repeat(begins, sizes)
    turn = ranks[pairs.listed] * (choice.max(initial=0) + 1) + choice
    order = np.argsort(turn, kind="stable")
    for group in np.split(order, _begins(turn[order])[1:]):
        yield pairs.only(group)


def _begins(ordered: Ints) -> Ints:
    """Where each run of equal values begins."""
    changes = np.flatnonzero(np.diff(ordered)) + 1
    return np.concatenate([np.zeros(min(1, len(ordered)), dtype=np.int64), changes])
