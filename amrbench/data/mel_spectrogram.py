"""Spectrograms of recordings for people to look at, as long as the recordings are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio import AudioFile

HIGHEST = 16_000.0
"""Largest frequency at the top of a picture, in Hz."""
_SECONDS = 0.05
"""Least length of a transform: bins are at most 20 Hz apart."""
_LEAST = 64
"""Least samples of a transform, for recordings of a few samples a second."""
_FRAMES = 8
"""Most transforms whose mean a column shows."""
_FLOOR = 1e-10


def mel_spectrogram(
    file: AudioFile, *, columns: int = 1200, bands: int = 80
) -> tuple[NDArray[np.float32], float]:
    """Return decibels (bands, columns) of a recording on the mel scale, and the frequency at the top in Hz.

    A column shows the mean power at no more than eight evenly spaced positions. So a bounded part of any
    recording is read, and of a long one, sounds between the positions are not shown. Columns are at least a
    quarter of a transform apart, so a short recording has fewer.
    """
    size = max(_LEAST, 1 << int(np.ceil(np.log2(max(1.0, _SECONDS * file.rate)))))
    columns = min(columns, max(1, 4 * file.samples // size))
    highest = min(file.rate / 2, HIGHEST)
    filters = mel_filters(file.rate, size, bands, highest)
    window = np.hanning(size).astype(np.float32)
    edges = np.linspace(0, max(0, file.samples - size), columns + 1)
    decibels = np.empty((bands, columns), np.float32)
    for column, (first, last) in enumerate(pairwise(edges)):
        starts = np.unique(np.linspace(first, last, _FRAMES, endpoint=False).astype(int))
        power = np.abs(np.fft.rfft(_frames(file, starts, size) * window)) ** 2
        decibels[:, column] = 10 * np.log10(np.maximum(filters @ power.mean(0), _FLOOR))
    return decibels, highest


def mel_of(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the mel of frequencies as HTK computes it (Young et al., The HTK Book)."""
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def mel_filters(rate: int, size: int, bands: int, highest: float) -> NDArray[np.float64]:
    """Return (bands, size / 2 + 1) triangles of height one that are evenly spaced in mel up to a frequency.

    A band between two bins takes the nearest one.
    """
    bins = mel_of(np.linspace(0, rate / 2, size // 2 + 1))
    corners = np.linspace(0, float(mel_of(highest)), bands + 2)
    step = corners[1]
    triangles = np.maximum(0, 1 - np.abs(bins - corners[1:-1, None]) / step)
    empty = np.flatnonzero(~triangles.any(1))
    triangles[empty, np.abs(bins - corners[1:-1][empty, None]).argmin(1)] = 1
    return np.asarray(triangles)


def _frames(file: AudioFile, starts: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Return (frames, size) samples; what lies close together is read at once."""
    first, last = int(starts[0]), int(starts[-1])
    if last - first <= 2 * _FRAMES * size:
        samples = file.read(first, last + size)
        samples = np.pad(samples, (0, last + size - first - len(samples)))
        return np.stack([samples[start - first : start - first + size] for start in starts])
    return np.stack([file.read(int(start), int(start) + size) for start in starts])
