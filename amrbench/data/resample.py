"""Change the rate of audio, with the numbers of the library that published features were made with.

A windowed sinc with a low pass where it is needed: 6 zero crossings on either side, a roll-off of 0.99 of the
lower Nyquist frequency and a squared cosine as the window, which are the defaults of torchaudio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from amrbench.types import Rows as Waveform

if TYPE_CHECKING:
    from torch import Tensor

_ZERO_CROSSINGS = 6
_ROLL_OFF = 0.99
_KERNEL_NUMBERS = 1 << 20
"""How many numbers the kernels of one group of phases may have."""


def resample(waveform: Waveform, rate: int, wanted: int) -> Waveform:
    """Return mono audio (samples,) at another rate: (ceil(samples * wanted / rate),) float32."""
    if rate == wanted:
        return waveform
    common = math.gcd(rate, wanted)
    old, new = rate // common, wanted // common
    reach = _reach(old, new)
    padded = np.pad(waveform, (reach, reach + old))
    found = np.empty((len(waveform) // old + 1, new), np.float32)
    for phases in _groups(old, new):
        found[:, phases.start : phases.stop] = _at_phases(padded, old, new, phases)
    return found.reshape(-1)[: resampled_length(len(waveform), rate, wanted)]


def resampled_length(samples: int, rate: int, wanted: int) -> int:
    """Return how many samples `resample` makes of so many."""
    return -(-samples * wanted // rate)


def _reach(old: int, new: int) -> int:
    """Return how many old samples a kernel reaches to either side."""
    return math.ceil(_ZERO_CROSSINGS * old / (min(old, new) * _ROLL_OFF))


def _groups(old: int, new: int) -> Iterator[range]:
    """Yield the places between two old samples (phases), in groups whose kernels are small.

    The kernels of neighbouring phases overlap, so a few together are quicker than each alone. Rates with a
    large common divisor, as the usual ones have, need one group; for 44,101 Hz, kernels of all phases at
    once would be zeros almost throughout, and fill gigabytes.
    """
    reach = _reach(old, new)
    together = new if new * (2 * reach + old) <= _KERNEL_NUMBERS else max(1, 2 * reach * new // old)
    for start in range(0, new, together):
        yield range(start, min(start + together, new))


def _at_phases(padded: Waveform, old: int, new: int, phases: range) -> Waveform:
    """Return the new samples (samples // old + 1, phases) that lie at some phases."""
    import torch

    kernels = _sinc_kernels(old, new, phases)
    first = phases.start * old // new
    # What all phases would look at, less the samples before the first and after the last of these.
    length = len(padded) - (2 * _reach(old, new) + old) + kernels.shape[2]
    heard = torch.from_numpy(padded[first : first + length])
    found: Waveform = torch.nn.functional.conv1d(heard[None, None], kernels, stride=old)[0].T.numpy()
    return found


@lru_cache(maxsize=32)
def _sinc_kernels(old: int, new: int, phases: range) -> Tensor:
    """Return kernels (phases, 1, K), which begin as many samples before the first phase as they reach."""
    import torch

    cut, reach = min(old, new) * _ROLL_OFF, _reach(old, new)
    first, last = phases.start * old // new, -(-phases.stop * old // new)
    at = torch.arange(first - reach, last + reach, dtype=torch.float64)[None] / old
    phase = torch.arange(-phases.start, -phases.stop, -1, dtype=torch.float64)[:, None] / new
    turns = ((at + phase) * cut).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(turns * math.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = torch.sinc(turns) * window * (cut / old)
    return kernels[:, None].float()
