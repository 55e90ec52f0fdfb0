"""Change the sampling rate of audio as torchaudio does, which published features were made with.

Interpolation with a windowed sinc that is also the low pass: 6 zero crossings on either side, a roll-off of
0.99 of the lower Nyquist frequency, and a squared cosine as the window (torchaudio's defaults).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from amrbench.types import Rows as Waveform

if TYPE_CHECKING:
    from torch import Tensor

_ZERO_CROSSINGS = 6
_ROLL_OFF = 0.99
_KERNEL_NUMBERS = 1 << 20
"""Largest number of values in the kernels of one group of phases."""


def resample(waveform: Waveform, rate: int, new_rate: int) -> Waveform:
    """Return mono audio (samples,) at another rate: (ceil(samples * new_rate / rate),) float32.

    The phase of a new sample is its position within a period of old samples. Kernels of neighbouring phases
    overlap, so a convolution with a group of them is faster than with one by one. Usual rates have a large
    common divisor and need one group; for 44,101 Hz, the kernels of all phases would be almost all zeros and
    fill gigabytes.
    """
    if rate == new_rate:
        return waveform
    import torch

    common = math.gcd(rate, new_rate)
    old, new = rate // common, new_rate // common  # Each `old` samples become `new` samples.
    reach = _reach(old, new)
    small = new * (2 * reach + old) <= _KERNEL_NUMBERS
    group = new if small else max(1, 2 * reach * new // old)
    padded = torch.from_numpy(np.pad(waveform, (reach, reach + old)))
    resampled = np.empty((len(waveform) // old + 1, new), np.float32)
    for start in range(0, new, group):
        phases = range(start, min(start + group, new))
        kernels = _sinc_kernels(old, new, phases)
        first = start * old // new
        # Without the samples before the first and after the last of these phases.
        samples = padded[first : first + len(waveform) + kernels.shape[2]]
        convolved = torch.nn.functional.conv1d(samples[None, None], kernels, stride=old)
        resampled[:, phases.start : phases.stop] = convolved[0].T.numpy()
    return resampled.reshape(-1)[: resampled_length(len(waveform), rate, new_rate)]


def resampled_length(samples: int, rate: int, new_rate: int) -> int:
    """Return how many samples `resample` makes of this many."""
    return -(-samples * new_rate // rate)


def _reach(old: int, new: int) -> int:
    """Return the number of old samples that a kernel covers on either side."""
    return math.ceil(_ZERO_CROSSINGS * old / (min(old, new) * _ROLL_OFF))


@lru_cache(maxsize=32)
def _sinc_kernels(old: int, new: int, phases: range) -> Tensor:
    """Return kernels (phases, 1, K); they begin `_reach` samples before the first phase."""
    import torch

    cutoff, reach = min(old, new) * _ROLL_OFF, _reach(old, new)
    first, last = phases.start * old // new, -(-phases.stop * old // new)
    time = torch.arange(first - reach, last + reach, dtype=torch.float64)[None] / old
    phase = torch.arange(-phases.start, -phases.stop, -1, dtype=torch.float64)[:, None] / new
    turns = ((time + phase) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(turns * math.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = torch.sinc(turns) * window * (cutoff / old)
    return kernels[:, None].float()
