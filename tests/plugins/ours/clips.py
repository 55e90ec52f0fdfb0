"""Eight clips of noise that a model can learn by heart."""

from __future__ import annotations

import numpy as np

from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.types import FeatureWidths, Query, Rows, Window

WIDTH = 16
CLIPS = range(8)
SECONDS = 30


def clips(*, queries_each: int) -> FeatureSource:
    """Clips of noise; in one or two windows of each is the sound that its queries ask for.

    Args:
        queries_each: Queries for each clip, all for the same sound; they only make an epoch longer.
    """
    rng = np.random.default_rng(0)
    windows = [_windows(clip, rng) for clip in CLIPS]
    queries = tuple(
        Query(f"{clip}.{number}", _text(clip), str(clip), float(SECONDS), windows[clip], {})
        for number in range(queries_each)
        for clip in CLIPS
    )
    features = EncoderFeatures(
        location="memory",
        encoder="eight clips",
        hop=1.0,
        widths=FeatureWidths(WIDTH, WIDTH),
        fingerprint=f"eight clips {queries_each}",
        audio=RowsInMemory({str(clip): _audio_rows(clip, windows[clip]) for clip in CLIPS}),
        text=RowsInMemory({_text(clip): _text_rows(clip) for clip in CLIPS}),
        text_by="sentence",
    )
    return FeatureSource(queries, (features,))


def _windows(clip: int, rng: np.random.Generator) -> tuple[Window, ...]:
    start, width = int(rng.integers(2, 8)), int(rng.integers(4, 9))
    windows = [(float(start), float(start + width))]
    if clip % 4 == 0:
        windows.append((float(start + width + 4), float(start + width + 9)))
    return tuple(windows)


def _text(clip: int) -> str:
    return f"sound {clip}"


def _audio_rows(clip: int, windows: tuple[Window, ...]) -> Rows:
    rows = np.random.default_rng((1, clip)).normal(0, 0.2, (SECONDS, WIDTH))
    for start, end in windows:
        rows[int(start) : int(end)] += _sound(clip)
    return rows.astype(np.float32)


def _text_rows(clip: int) -> Rows:
    noise = np.random.default_rng((2, clip)).normal(0, 0.2, (3, WIDTH))
    return (noise + _sound(clip)).astype(np.float32)


def _sound(clip: int) -> Rows:
    return np.random.default_rng((3, clip)).normal(0, 1, WIDTH).astype(np.float32)
