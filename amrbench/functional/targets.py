"""Training targets of one query from its annotated windows, on numpy arrays.

`windows` is (W, 2), start and end in seconds. `frames` is T, the number of feature rows, one every `hop`
seconds. Random numbers are drawn from the given generator.

Two units differ slightly if the duration is not a multiple of the hop: spans are fractions of `frames * hop`,
but labels divide `duration` into `frames` equal frames. The reference does both, and so does the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amrbench.types import Floats

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
    start = np.maximum(windows[:, 0], 0.0)
    end = np.where(windows[:, 1] > duration + tolerance, duration, windows[:, 1])
    return np.stack([start, end], axis=1)[end > start]


def draw_windows(windows: Floats, limit: int, generator: np.random.Generator) -> Floats:
    """Return at most `limit` windows, drawn at random, in the given order."""
    if len(windows) <= limit:
        return windows
    return windows[np.sort(generator.choice(len(windows), size=limit, replace=False))]


def spans_of(windows: Floats, frames: int, hop: float) -> Spans:
    """Return windows as spans (W, 2): centre and width as fractions of `frames` frames."""
    scaled = windows / (frames * hop)
    return np.stack([scaled.mean(axis=1), scaled[:, 1] - scaled[:, 0]], axis=1).astype(np.float32)


def frame_range(window: Sequence[float] | Floats, unit: float, frames: int) -> tuple[int, int]:
    """Return the first and the last frame of `unit` seconds that a window covers, at least one frame.

    A window shorter than a frame gets the last frame that ends before the window does, as in the reference.
    """
    start, end = float(window[0]), float(window[1])
    last = max(0, min(int(end / unit), frames) - 1)
    return max(0, min(int(start / unit), last)), last


def label_first_window(windows: Floats, duration: float, frames: int) -> FrameLabels:
    """Return (T,), True for frames of the first listed window; the other windows count as outside.

    This is the rule of the baseline, although half of the annotated seconds of CASTELLA are in other windows.
    """
    return label_all_windows(windows[:1], duration, frames)


def label_all_windows(windows: Floats, duration: float, frames: int) -> FrameLabels:
    """Return (T,), True for frames of any window."""
    labels = np.zeros(frames, dtype=np.bool_)
    for window in windows:
        first, last = frame_range(window, duration / frames, frames)
        labels[first : last + 1] = True
    return labels


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
    positives = _draw(inside, count, generator)
    negatives = _draw(outside, count, generator) if len(outside) >= count else positives
    return FramePairs(positives, negatives)


def _draw(frames: Indices, count: int, generator: np.random.Generator) -> Indices:
    if len(frames) < count:
        return np.resize(generator.permutation(frames), count)
    return generator.choice(frames, size=count, replace=False)
