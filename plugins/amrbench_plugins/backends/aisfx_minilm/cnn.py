"""The audio side: a convolutional network over log-mel spectra of 2.3 seconds (Ma and Lerch 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench_plugins.backends.mel import unit_sum_filters

RATE = 44_100
FRAMES = 100
"""Of a block."""
_FFT, _HOP = 2048, 1024
BLOCK = _FFT + (FRAMES - 1) * _HOP
"""Samples that the frames of a block cover."""
_BANDS = 96
WIDTHS = (64, 128, 256, 512)
"""Channels of the blocks of convolutions in the published weights."""
_LOUDNESS = 1e4
"""Power is compressed to log10(1 + power * loudness)."""
_LOUDEST = 9.457798957824707
"""Largest compressed power in the sounds that the authors trained on; it becomes 1."""


class ConvBlock(nn.Module):
    """Two convolutions over time and frequency, and the maxima of squares if it is not the last block."""

    def __init__(self, inputs: int, width: int, *, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(pool)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, T / pool, F / pool) of (B, inputs, T, F)."""
        # A CPU convolves many channels faster if they are neighbours in memory.
        x = self.bn1(self.conv1(x)).relu().contiguous(memory_format=torch.channels_last)
        pooled: Tensor = self.pool(self.bn2(self.conv2(x)).relu())
        return pooled


class AudioEncoder(nn.Module):
    """Waveforms of a block to one row each."""

    window: Tensor
    filters: Tensor

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.width = widths[-1]
        self.depth = len(widths)
        for number, (inputs, width) in enumerate(pairwise((1, *widths)), start=1):
            pool = 1 if number == self.depth else 2
            self.add_module(f"conv_block{number}", ConvBlock(inputs, width, pool=pool))
        self.register_buffer("window", torch.hann_window(_FFT, periodic=False), persistent=False)
        filters = unit_sum_filters(RATE, _FFT, _BANDS, low=0, high=RATE / 2)
        self.register_buffer("filters", filters, persistent=False)

    def spectra(self, blocks: Tensor) -> Tensor:
        """Return log-mel spectra (B, FRAMES, bands), from 0 to about 1, of waveforms (B, BLOCK)."""
        spectrum = torch.stft(blocks, _FFT, _HOP, window=self.window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
        return (power @ self.filters).mul(_LOUDNESS).add(1).log10() / _LOUDEST

    def rows(self, spectra: Tensor) -> Tensor:
        """Return (B, width) of log-mel spectra (B, frames, bands): means over frequency, maxima over time."""
        x = spectra[:, None]
        for number in range(1, self.depth + 1):
            x = self.get_submodule(f"conv_block{number}")(x)
        return x.mean(3).amax(2)

    @override
    def forward(self, blocks: Tensor) -> Tensor:
        """Return (B, width) of waveforms (B, BLOCK)."""
        return self.rows(self.spectra(blocks))
