"""Training targets from annotated windows, of one query or of a whole batch, on numpy arrays.

`windows` is (W, 2), start and end in seconds. `frames` is T, the number of feature rows, one every `hop`
seconds. Random numbers are drawn from the given generator.

The functions of a batch give the numbers of those of one query, and draw the same from each generator. There,
`windows` has those of all B queries, and `frames` and `duration` are (B,).

Two units differ slightly if the duration is not a multiple of the hop: spans are fractions of `frames * hop`,
but labels divide `duration` into `frames` equal frames. The reference does both, and so does the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from amrbench.functional.official_evaluator import RaggedArray
from amrbench.types import Floats, Query

Spans = NDArray[np.float32]
FrameLabels = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class FramePairs:
    """Frames inside the moment and as many outside it, drawn at random."""

    positives: Indices
    negatives: Indices


def as_windows(windows: Sequence[Sequence[float]]) -> Floats:
    """Return an array (W, 2) of a list of (start, end), which may be empty."""
    return np.asarray(windows, dtype=np.float64).reshape(-1, 2)


def clip_windows(windows: Floats, duration: float, *, tolerance: float = 1.0) -> Floats:
    """Cut windows to the recording and drop those that become empty; the order is kept.

    Durations in published annotations are rounded. So an end up to `tolerance` seconds after `duration` is
    kept; a later one is a mistake and becomes `duration`. In CASTELLA's training split 162 windows end late:
    161 by 1 s and one by 4501 s.
    """
    cut = _cut(windows, duration, tolerance)
    return cut[cut[:, 1] > cut[:, 0]]


def clip_batch(queries: Sequence[Query]) -> RaggedArray:
    """Return the windows of queries as `clip_windows` gives them; a query may have none."""
    counts = np.fromiter((len(query.windows) for query in queries), np.int64, len(queries))
    flat = chain.from_iterable(chain.from_iterable(query.windows for query in queries))
    windows = RaggedArray.of(np.fromiter(flat, np.float64).reshape(-1, 2), counts)
    duration = np.fromiter((query.duration for query in queries), np.float64, len(queries))
    cut = _cut(windows.values, duration[windows.query], 1.0)
    return RaggedArray(cut, windows.offsets).keep(cut[:, 1] > cut[:, 0])


def _cut(windows: Floats, duration: float | Floats, tolerance: float) -> Floats:
    """Return windows cut to a duration, or each to its own; some may end before they start."""
    start = np.maximum(windows[:, 0], 0.0)
    end = np.where(windows[:, 1] > duration + tolerance, duration, windows[:, 1])
    return np.stack([start, end], axis=1)


def draw_windows(windows: Floats, limit: int, generator: np.random.Generator) -> Floats:
    """Return the windows as given, or if there are more than `limit`, so many in a random order."""
    if len(windows) <= limit:
        return windows
    return windows[generator.choice(len(windows), size=limit, replace=False)]


def draw_batch_windows(
    windows: RaggedArray, limit: int, generators: Sequence[np.random.Generator]
) -> RaggedArray:
    """Return at most `limit` windows of each query, as `draw_windows` draws them from its generator."""
    longer = np.flatnonzero(windows.counts > limit).tolist()
    if not longer:
        return windows
    values = windows.values.copy()
    for query in longer:
        first, last = windows.offsets[query : query + 2]
        values[first : first + limit] = draw_windows(windows.values[first:last], limit, generators[query])
    return RaggedArray(values, windows.offsets).keep(windows.position < limit)


def spans_of(windows: Floats, frames: int | Indices, hop: float) -> Spans:
    """Return windows as spans (W, 2): centre and width as fractions of `frames` frames.

    Args:
        windows: (W, 2) seconds.
        frames: Of the recording, or (W,) of the recording of each window.
        hop: Seconds of a frame.
    """
    scaled = windows / np.reshape(frames * hop, (-1, 1))
    return np.stack([scaled.mean(axis=1), scaled[:, 1] - scaled[:, 0]], axis=1).astype(np.float32)


def frame_range(window: Sequence[float] | Floats, unit: float, frames: int) -> tuple[int, int]:
    """Return the first and the last frame of `unit` seconds that a window covers, at least one frame.

    A window shorter than a frame gets the last frame that ends before the window does, as in the reference.
    """
    start, end = float(window[0]), float(window[1])
    last = max(0, min(int(end / unit), frames) - 1)
    return max(0, min(int(start / unit), last)), last


def label_windows(windows: Floats, duration: float, frames: int) -> FrameLabels:
    """Return (T,), True for frames of any window."""
    labels = np.zeros(frames, dtype=np.bool_)
    for window in windows:
        first, last = frame_range(window, duration / frames, frames)
        labels[first : last + 1] = True
    return labels


def label_batch(windows: RaggedArray, duration: Floats, frames: Indices) -> FrameLabels:
    """Return (B, T), True for frames of any window of a query as in `label_windows`.

    Args:
        windows: At least one for each query.
        duration: (B,) seconds.
        frames: (B,); T is the largest, and frames after those of a recording are False.
    """
    own = frames[windows.query]
    unit = (duration / frames)[windows.query]
    # The smaller number is taken before rounding down, because the others may be too large for an integer.
    start, end = (np.minimum(seconds / unit, own).astype(np.int64) for seconds in windows.values.T)
    last = np.maximum(end - 1, 0)
    first = np.minimum(start, last)
    frame = np.arange(frames.max())
    inside = (first[:, None] <= frame) & (frame <= last[:, None])
    return inside if len(own) == len(frames) else np.logical_or.reduceat(inside, windows.offsets[:-1], axis=0)


def draw_pairs(labels: FrameLabels, count: int, generator: np.random.Generator) -> FramePairs:
    """Draw `count` frames inside and `count` frames outside, without repetition if there are enough.

    If there are too few inside, each is drawn at least once and some are repeated. If there are too few
    outside, the negatives are the positives, so that a margin loss between them has no gradient.

    Raises:
        ValueError: No frame is labelled.
    """
    inside, outside = np.flatnonzero(labels), np.flatnonzero(~labels)
    if not len(inside):
        raise ValueError("no frame is labelled, so there is no pair to draw")
    positives = inside[_draw(len(inside), count, generator)]
    negatives = outside[_draw(len(outside), count, generator)] if len(outside) >= count else positives
    return FramePairs(positives, negatives)


def draw_batch_pairs(
    labels: FrameLabels, frames: Indices, count: int, generators: Sequence[np.random.Generator]
) -> FramePairs:
    """Return pairs (B, count), each row as `draw_pairs` draws it from its generator.

    Args:
        labels: (B, T), at least one True in each row.
        frames: (B,) frames of each recording.
        count: Pairs of each query.
        generators: One for each query.
    """
    inside = labels.sum(axis=1)
    outside = frames - inside
    positives, negatives = [], []
    for within, without, generator in zip(inside.tolist(), outside.tolist(), generators, strict=True):
        positives.append(_draw(within, count, generator))
        if without >= count:
            negatives.append(_draw(without, count, generator))
    pairs = FramePairs(_nth_true(labels, np.array(positives)), np.empty((len(labels), count), np.int64))
    others = outside >= count
    pairs.negatives[~others] = pairs.positives[~others]
    if negatives:
        real = np.arange(labels.shape[1]) < frames[:, None]
        pairs.negatives[others] = _nth_true((real & ~labels)[others], np.array(negatives))
    return pairs


def _nth_true(rows: FrameLabels, ranks: Indices) -> Indices:
    """Return (n, P) columns of the True values of rows (n, T) by their rank in the row, from 0."""
    counts = rows.sum(axis=1)
    first = np.cumsum(counts) - counts
    columns: Indices = np.nonzero(rows)[1][first[:, None] + ranks]
    return columns


def _draw(total: int, count: int, generator: np.random.Generator) -> Indices:
    """Return `count` of the numbers from 0 to `total` - 1; without repetition if there are enough."""
    if total < count:
        return np.resize(generator.permutation(total), count)
    return generator.choice(total, size=count, replace=False)
