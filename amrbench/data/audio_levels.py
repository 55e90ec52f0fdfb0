"""Levels of a recording, for notes about audio in which an encoder recognises nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

_LOUD = 10.0
"""Samples above it, 20 dB over full scale, are no sound with a slightly too high level."""
_SILENT = 1e-4
"""A recording without a sample above it, -80 dB, is silent."""
_CANCELS = -20.0
"""Decibels by which the mean of the channels must be quieter than they are to be noted; of two unrelated
channels it is quieter by 3."""


class Levels:
    """Peak and power of the samples seen so far."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._power = 0.0
        self._power_of_mean = 0.0

    def add(self, channels: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
        """Take further samples, (samples, channels), and the mean of the channels."""
        if channels.size:
            self._peak = max(self._peak, float(channels.max()), -float(channels.min()))
            self._power += _power(channels) / channels.shape[1]
            self._power_of_mean += _power(mean)

    def findings(self, path: Path) -> Iterator[str]:
        """Yield what is unusual, as sentences."""
        if self._peak < _SILENT:
            yield f"{path}: is silent: no sample is above {20 * math.log10(_SILENT):.0f} dB of full scale."
        elif self._peak > _LOUD:
            yield (
                f"{path}: has samples up to {self._peak:,.0f}, and sound lies between -1 and 1, so encoders "
                "may recognise nothing in it. If they are integers saved as floats, divide them by 32768."
            )
        if self._peak >= _SILENT and self._decibels_of_mean < _CANCELS:
            loss = f"{-self._decibels_of_mean:.0f} dB quieter than they are"
            command = f"ffmpeg -i {quote(str(path))} -af 'pan=mono|c0=c0' {quote(path.stem + '-mono.wav')}"
            yield (
                f"{path}: its channels cancel: their mean, which is used, is "
                f'{loss if self._power_of_mean else "silence"}. Keep one of them, e.g. with "{command}".'
            )

    @property
    def _decibels_of_mean(self) -> float:
        """Return how much louder the mean of the channels is than they are."""
        ratio = self._power_of_mean / self._power
        return 10 * math.log10(ratio) if ratio else -math.inf


def _power(samples: NDArray[np.float32]) -> float:
    wide = samples.astype(np.float64)  # The squares of large samples are not finite in float32.
    return float(np.vdot(wide, wide))
