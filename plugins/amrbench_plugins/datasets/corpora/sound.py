"""Cutting, levelling and mixing of sounds. Levels are root mean squares in dB of full scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.slots.data import Recording

Wave = NDArray[np.float32]
"""(samples,)"""

_FRAME, _STEP = 0.025, 0.01
"""Seconds of a frame whose level is measured, and between two frames."""
_UNDER_PEAK, _OVER_FLOOR, _QUIETEST = 40.0, 6.0, -65.0
"""What counts as audible, dB; see `audible_range`."""
_MARGIN = 0.05
"""Seconds that are kept around the audible part."""
_TINY = 1e-12
_SILENT = -90.0
"""Below it a file has only zeros, or noise in the last of 16 bits: no reference for a level."""
PEAK_LIMIT = 0.97
"""Mixtures with a higher peak are turned down to it."""


@dataclass(frozen=True, eq=False)
class MixedRecording(Recording):
    """A mixed clip, its queries, and what it was mixed from."""

    provenance: Mapping[str, object]
    """Sources, licences, times and levels of the background and the events."""


def read_audio(path: Path, rate: int) -> Wave:
    """Return all of a recording, mono and resampled to a rate; DataError if it cannot be read."""
    file = open_audio(path)
    return resample(file.read(), file.rate, rate)


def level(wave: Wave) -> float:
    """Return the level of a wave in dB."""
    return 10 * math.log10(float(np.mean(np.square(wave, dtype=np.float64))) + _TINY)


def background_level(wave: Wave, path: Path, where: str) -> float:
    """Return the level of a piece of a background in dB.

    Args:
        wave: The piece.
        path: The file of the background.
        where: The use and the times of the piece, for the message.

    Raises:
        DataError: It is silent.
    """
    decibels = level(wave)
    if decibels < _SILENT:
        raise DataError(
            f"{path}: is silent {where}: its level is below {_SILENT:g} dB, and the levels of sounds are "
            "relative to it. Download the file again."
        )
    return decibels


def amplify(wave: Wave, decibels: float) -> Wave:
    """Return a wave that is louder by some dB."""
    return (wave * 10 ** (decibels / 20)).astype(np.float32)


def audible_range(wave: Wave, rate: int) -> tuple[int, int]:
    """Return the first sample of a sound and the one after its last, without the silence at its ends.

    A frame of 25 ms is audible above the highest of: 40 dB under the loudest frame, 6 dB over the quietest
    tenth, and -65 dB. The second bound is left out for sounds of nearly constant level, which have no quiet
    tenth.

    Returns:
        Start and end; (0, 0) if no frame is audible or the wave is shorter than a frame.
    """
    frame, step = round(_FRAME * rate), round(_STEP * rate)
    if len(wave) < frame:
        return (0, 0)
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    starts = np.arange(0, len(wave) - frame + 1, step)
    levels = 10 * np.log10((energy[starts + frame] - energy[starts]) / frame + _TINY)
    peak, floor = float(levels.max()), float(np.percentile(levels, 10))
    constant = peak - floor < 2 * _OVER_FLOOR
    threshold = max(peak - _UNDER_PEAK, _QUIETEST, -np.inf if constant else floor + _OVER_FLOOR)
    audible = np.flatnonzero(levels >= threshold)
    if not len(audible) or peak < _QUIETEST:
        return (0, 0)
    margin = round(_MARGIN * rate)
    first, end = int(starts[audible[0]]), int(starts[audible[-1]]) + frame
    return max(0, first - margin), min(len(wave), end + margin)


def loudest_start(wave: Wave, length: int) -> int:
    """Return the first sample of the piece with the most energy; `length` is less than that of the wave."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    return int(np.argmax(energy[length:] - energy[:-length]))


def fade_ends(wave: Wave, samples: int) -> Wave:
    """Return a wave that rises over its first samples and falls over its last."""
    samples = min(samples, len(wave) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, samples, dtype=np.float32)) ** 2
    faded = wave.copy()
    faded[:samples] *= ramp
    faded[len(faded) - samples :] *= ramp[::-1]
    return faded


def loop_from(wave: Wave, offset: int, length: int, *, fade: int) -> Wave:
    """Return a piece of an endless loop of a wave.

    Args:
        wave: The background.
        offset: First sample of the piece.
        length: Samples of the piece; may be longer than the wave.
        fade: Samples over which the end of the wave is mixed into its start, with equal power.
    """
    fade = min(fade, len(wave) // 2)
    ramp = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    loop = wave[: len(wave) - fade].copy()
    loop[:fade] = loop[:fade] * np.sin(ramp) + wave[len(wave) - fade :] * np.cos(ramp)
    rounds = -(-(offset % len(loop) + length) // len(loop))
    return np.tile(loop, rounds)[offset % len(loop) :][:length]


def limit_peak(wave: Wave) -> tuple[Wave, float]:
    """Return a mixture with a peak of at most `PEAK_LIMIT`, and its gain in dB.

    All of it is turned down, so signal-to-noise ratios stay.
    """
    peak = float(np.abs(wave).max(initial=0))
    if peak <= PEAK_LIMIT:
        return wave, 0.0
    gain = 20 * math.log10(PEAK_LIMIT / peak)
    return amplify(wave, gain), gain
