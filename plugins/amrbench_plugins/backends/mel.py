"""Mel filters and power spectra as in the libraries that published encoders were trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_STEP = 200.0 / 3
"""Hz to a mel below 1 kHz on Slaney's scale (Auditory Toolbox, 1998)."""
_BREAK = 1000.0
"""Hz above which the scale is logarithmic."""
_GROWTH = np.log(6.4) / 27
"""Natural logarithm of the ratio of frequencies one mel apart, above 1 kHz."""


def slaney_filters(rate: int, fft: int, bands: int, *, low: float, high: float) -> Tensor:
    """Return triangular filters with an area of one on Slaney's mel scale.

    Args:
        rate: Samples a second.
        fft: Length of the transform.
        bands: Number of filters.
        low: Start of the first filter, in Hz.
        high: End of the last filter, in Hz.

    Returns:
        (fft / 2 + 1, bands) float32.
    """
    mel = np.linspace(_mel(low), _mel(high), bands + 2)
    corners = np.where(mel < _mel(_BREAK), mel * _STEP, _BREAK * np.exp(_GROWTH * (mel - _mel(_BREAK))))
    bins = np.linspace(0, rate / 2, fft // 2 + 1)[:, None]
    filters = _triangles(bins, corners) * (2 / (corners[2:] - corners[:-2]))
    return torch.from_numpy(filters.astype(np.float32))


def unit_sum_filters(rate: int, fft: int, bands: int, *, low: float, high: float) -> Tensor:
    """Return filters that are triangular on the HTK mel scale and whose weights have the sum one.

    They are those of the algorithm MelBands of Essentia with the options htkMel, warping and unit_sum.

    Args:
        rate: Samples a second.
        fft: Length of the transform.
        bands: Number of filters.
        low: Start of the first filter, in Hz.
        high: End of the last filter, in Hz.

    Returns:
        (fft / 2 + 1, bands) float32.
    """
    corners = np.linspace(_htk_mel(low), _htk_mel(high), bands + 2)
    bins = _htk_mel(np.linspace(0, rate / 2, fft // 2 + 1))[:, None]
    filters = _triangles(bins, corners)
    return torch.from_numpy((filters / filters.sum(0)).astype(np.float32))


def _triangles(bins: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return triangles (bins, bands) of height one at bins (bins, 1); each spans three corners."""
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def power_spectrum(waveforms: Tensor, *, window: Tensor, hop: int) -> Tensor:
    """Return squared magnitudes (B, frames, bins) of waveforms (B, samples), each frame centred on its hop.

    The ends are mirrored; `window` is as long as the transform.
    """
    size = len(window)
    spectrum = torch.stft(
        waveforms, size, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)


def _mel(hertz: float) -> float:
    if hertz < _BREAK:
        return hertz / _STEP
    return float(_BREAK / _STEP + np.log(hertz / _BREAK) / _GROWTH)


def _htk_mel(hertz: Any) -> Any:
    return 2595 * np.log10(1 + hertz / 700)
