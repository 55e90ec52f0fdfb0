"""Query-aware background mixing, after CVA (arXiv 2603.24934).

Rows of the background become rows of other recordings, so that a model cannot tell a moment by what usually
surrounds it. What is mixed in must not be about the query, or it would be a moment that counts as background;
and it should not be so far from it that it is told apart at a glance. CVA compares video and text in one
space, which the encoders here need not have. So sentences are compared with sentences:

    similarity of a query to a recording = largest cosine between the query and the sentences about the
                                           recording, each the mean of its words; the query itself left out

The lower limit is the 10th percentile of the similarities of queries to other recordings, the upper one the
60th percentile of those to their own. Where no recording has two sentences, the latter is taken from other
recordings too. Rows are replaced in contiguous pieces, because sounds last longer than a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from amrbench.functional.targets import as_windows
from amrbench.slots.data import Recordings
from amrbench.types import Query, Rows

Flags = NDArray[np.bool_]

_SAMPLED = 512
"""Queries that the limits are taken from at most, so that many queries cost no more than a few seconds."""
_TRIES = 64
"""Recordings that are drawn at most until one is within the limits."""


class Donors:
    """Recordings to mix into the background of a query."""

    def __init__(self, recordings: Recordings, *, low: float, high: float) -> None:
        """Take the shares of the similarities that are below the limits; see the top of this file."""
        self._recordings = recordings
        queries = recordings.queries
        vids = {vid: number for number, vid in enumerate(dict.fromkeys(query.vid for query in queries))}
        owner = np.array([vids[query.vid] for query in queries])
        order = np.argsort(owner, kind="stable")
        self._of_query = {_key(query): position for position, query in enumerate(queries[i] for i in order)}
        self._index = order  # of each position in the arrays below
        self._owner = owner[order]
        self._starts = np.searchsorted(self._owner, np.arange(len(vids) + 1))
        self._sentences = _directions([recordings.word_rows(int(index)) for index in order])
        self.limits = self._limits(low, high)
        """Smallest and largest similarity."""

    def draw(self, query: Query, rng: np.random.Generator) -> Rows | None:
        """Return the audio rows of a random recording within the limits, or None if none is found."""
        position = self._of_query[_key(query)]
        own, sentence = self._owner[position], self._sentences[position]
        for recording in rng.integers(len(self._starts) - 1, size=_TRIES):
            start, end = self._starts[recording : recording + 2]
            if recording == own:
                continue
            similarity = (self._sentences[start:end] @ sentence).max()
            if self.limits[0] <= similarity <= self.limits[1]:
                return self._recordings.audio_rows(int(self._index[start]))
        return None

    def _limits(self, low: float, high: float) -> tuple[float, float]:
        count, recordings = len(self._sentences), len(self._starts) - 1
        sampled = np.unique(np.linspace(0, count - 1, _SAMPLED).astype(np.int64))
        cosines = self._sentences[sampled] @ self._sentences.T
        cosines[np.arange(len(sampled)), sampled] = -np.inf  # a query is no other sentence
        similarity = np.maximum.reduceat(cosines, self._starts[:-1], axis=1)
        own = np.arange(recordings) == self._owner[sampled][:, None]
        negatives, positives = similarity[~own], similarity[own]
        positives = positives[np.isfinite(positives)]
        if not len(negatives):
            return np.inf, -np.inf
        highest = np.quantile(positives if len(positives) else negatives, high)
        return float(np.quantile(negatives, low)), float(highest)


class BackgroundMixer:
    """Replaces pieces of the background of a query."""

    def __init__(self, donors: Donors, *, ratio: float, piece: int, margin: int) -> None:
        """Replace a share `ratio` of the rows that are more than `margin` rows away from all windows."""
        self.donors, self.ratio, self.piece, self.margin = donors, ratio, piece, margin

    def __call__(self, rows: Rows, query: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
        """Return rows with another background, and the query as it is."""
        free = background(as_windows(query.windows) / hop, len(rows), self.margin)
        left = round(self.ratio * int(free.sum()))
        mixed = rows.copy()
        for start, end in rng.permutation(pieces(free, self.piece, int(rng.integers(self.piece)))):
            donor = self.donors.draw(query, rng) if left else None
            if donor is None:
                break
            length = min(int(end - start), left, len(donor))
            offset = int(rng.integers(len(donor) - length + 1))
            mixed[start : start + length] = donor[offset : offset + length]
            left -= length
        return mixed, query


def background(windows: NDArray[np.float64], count: int, margin: int) -> Flags:
    """Return (T,) True for rows that no window, longer by `margin` rows on both sides, touches.

    Args:
        windows: (W, 2) start and end in rows.
        count: T, the number of rows.
        margin: In rows.
    """
    free = np.ones(count, dtype=np.bool_)
    for start, end in windows:
        free[max(0, int(np.floor(start)) - margin) : int(np.ceil(end)) + margin] = False
    return free


def pieces(free: Flags, longest: int, phase: int) -> NDArray[np.int64]:
    """Return (n, 2) first row and row after the last of pieces that cover the free rows, in order.

    Pieces end where the free rows do, and at every `longest` rows of the recording; the first of these ends
    after `longest` - `phase` rows.
    """
    block = (np.arange(len(free)) + phase) // longest
    changes = np.flatnonzero((np.diff(block) != 0) | (np.diff(free) != 0)) + 1
    edges = [0, *changes.tolist(), len(free)]
    return np.array([pair for pair in pairwise(edges) if free[pair[0]]], dtype=np.int64).reshape(-1, 2)


def _key(query: Query) -> tuple[str, str]:
    return query.vid, str(query.qid)


def _directions(words: Sequence[Rows]) -> Rows:
    """Return the unit vectors (Q, D) of the means of words."""
    means = np.stack([rows.mean(0) for rows in words])
    return np.asarray(means / (np.linalg.norm(means, axis=1, keepdims=True) + 1e-12), np.float32)
