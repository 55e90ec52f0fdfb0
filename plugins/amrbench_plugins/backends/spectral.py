"""Log-mel spectrogram of a waveform: the front end of the small encoders."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

RATE = 16_000
FRAMES_A_SECOND = 50
MELS = 64
_FFT = 1024
_HOP = RATE // FRAMES_A_SECOND
_LOW, _HIGH = 50.0, 7600.0
"""Ends of the first and of the last filter, in Hz."""
_FLOOR = 1e-7
_CHUNK = 250
"""Frames at a time; their spectra stay in the processor's cache, which halves the time."""


def mel_filters() -> Tensor:
    """Return triangular filters with a sum of one on the mel scale (2595 log10(1 + f/700)).

    Returns:
        (bins, MELS) float32.
    """
    bins = np.fft.rfftfreq(_FFT, 1 / RATE)
    low, high = 2595.0 * np.log10(1.0 + np.array([_LOW, _HIGH]) / 700.0)
    corners = 700.0 * (10 ** (np.linspace(low, high, MELS + 2) / 2595.0) - 1.0)
    rising = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy((filters / (filters.sum(1, keepdims=True) + 1e-9)).T.astype(np.float32))


class LogMel(nn.Module):
    """Natural log of mel energies, `FRAMES_A_SECOND` frames a second, each centred on its own hop."""

    window: Tensor
    filters: Tensor
    """(2 * bins, MELS): each row twice, for the real and the imaginary part of a bin."""

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(_FFT)
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filters().repeat_interleave(2, 0), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return log-mel frames.

        Args:
            waveform: (..., samples) at `RATE`.

        Returns:
            (..., frames, MELS) with frames = floor(samples / hop); the waveform is padded with zeros.
        """
        frames = waveform.shape[-1] // _HOP
        side = (_FFT - _HOP) // 2
        padded = nn.functional.pad(waveform, (side, _FFT - _HOP - side))
        pieces = padded.unfold(-1, _FFT, _HOP)[..., :frames, :]
        energies = []
        for chunk in torch.split(pieces, _CHUNK, -2):
            parts = torch.view_as_real(torch.fft.rfft(chunk * self.window)).flatten(-2)
            energies.append(parts.square_() @ self.filters)
        return torch.cat(energies, -2).add_(_FLOOR).log_()
