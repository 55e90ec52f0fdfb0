"""What is true of one query, as numbers that a loss can compare with.

Pure functions on numpy arrays. `windows` is (W, 2), start and end in seconds; `frames` is the number T of
feature rows; everything random is drawn from the generator that the caller gives.

Two units meet here and differ a little when a recording does not last a whole number of clips: spans are
shares of `frames * clip_length`, while clip labels cut `duration` into `frames` equal pieces. The reference
does both, and so does the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Spans = NDArray[np.float32]
Labels = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ClipRange:
    """The clips from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class ClipPairs:
    """Clips inside the moment and clips outside it, equally many, drawn at random."""

    positives: Indices
    negatives: Indices


def as_windows(windows: Sequence[Sequence[float]]) -> Floats:
    """Turn a list of (start, end) into an array (W, 2), also when it is empty."""
    return np.asarray(windows, dtype=np.float64).reshape(-1, 2)


def clip_windows(windows: Floats, duration: float, *, tolerance: float = 1.0) -> Floats:
    """Cut windows to the recording and drop those of which nothing is left.

    Durations in published annotations are rounded, so an end up to `tolerance` seconds late is kept as it
    is; one that is later is a mistake and moves to `duration`. In CASTELLA's training split 162 windows
    end late, all but one of them by 1 s, and that one by 4501 s.

    Returns:
        The windows that are left, in the given order.
    """
    start = np.maximum(windows[:, 0], 0.0)
    end = np.where(windows[:, 1] > duration + tolerance, duration, windows[:, 1])
    return np.stack([start, end], axis=1)[end > start]


def draw_windows(windows: Floats, limit: int, generator: np.random.Generator) -> Floats:
    """Keep at most `limit` windows, chosen at random and in the given order."""
    if len(windows) <= limit:
        return windows
    return windows[np.sort(generator.choice(len(windows), size=limit, replace=False))]


def spans_of(windows: Floats, frames: int, clip_length: float) -> Spans:
    """Turn windows into (centre, width) as shares of `frames` clips, (W, 2)."""
    share = windows / (frames * clip_length)
    return np.stack([share.mean(axis=1), share[:, 1] - share[:, 0]], axis=1).astype(np.float32)


def clip_range(window: Sequence[float] | Floats, unit: float, frames: int) -> ClipRange:
    """Find the clips of `unit` seconds that a window covers; at least one, and none past the last.

    A window shorter than a clip is answered by the clip before its end, as in the reference.
    """
    start, end = float(window[0]), float(window[1])
    last = max(0, min(int(end / unit), frames) - 1)
    return ClipRange(first=max(0, min(int(start / unit), last)), last=last)


def label_first_window(windows: Floats, duration: float, frames: int) -> Labels:
    """Label the clips of the first listed window, (T,); the others count as outside.

    This is the baseline's rule, although half of the annotated seconds of CASTELLA lie in other windows.
    """
    return label_all_windows(windows[:1], duration, frames)


def label_all_windows(windows: Floats, duration: float, frames: int) -> Labels:
    """Label the clips of every window, (T,)."""
    labels = np.zeros(frames, dtype=np.bool_)
    for window in windows:
        found = clip_range(window, duration / frames, frames)
        labels[found.first : found.last + 1] = True
    return labels


def draw_pairs(labels: Labels, count: int, generator: np.random.Generator) -> ClipPairs:
    """Draw `count` clips inside and `count` clips outside, without repeats where there are enough.

    Too few inside: each at least once, then repeats. Too few outside: the clips inside stand in for them,
    so that a margin between the two says nothing.

    Raises:
        ValueError: No clip is labelled.
    """
    inside, outside = np.flatnonzero(labels), np.flatnonzero(~labels)
    if not len(inside):
        raise ValueError("no clip is labelled, so there is no pair to draw")
    positives = _draw(inside, count, generator)
    negatives = _draw(outside, count, generator) if len(outside) >= count else positives
    return ClipPairs(positives, negatives)


def _draw(clips: Indices, count: int, generator: np.random.Generator) -> Indices:
    if len(clips) < count:
        return np.resize(generator.permutation(clips), count)
    return generator.choice(clips, size=count, replace=False)
