"""Cutting, levelling and mixing of sounds. Levels are root mean squares in dB of full scale."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError

Wave = NDArray[np.float32]

_FRAME, _STEP = 0.025, 0.01
_UNDER_PEAK, _OVER_FLOOR, _QUIETEST = 40.0, 6.0, -65.0
_MARGIN = 0.05
_TINY = 1e-12
_SILENT = -90.0
"""Below this there is nothing but zeros, or the last bit of 16, that sounds could be set against."""
LOUDEST = 0.97
"""Peak that a mixture is turned down to."""


def read_at(path: Path, rate: int) -> Wave:
    """Return a whole recording, mono at a rate; DataError if it cannot be read."""
    file = open_audio(path)
    return resample(file.read(), file.rate, rate)


def level(wave: Wave) -> float:
    """Return the level of a stretch in dB."""
    return 10 * math.log10(float(np.mean(np.square(wave, dtype=np.float64))) + _TINY)


def level_below(wave: Wave, path: Path, where: str) -> float:
    """Return the level of a stretch of a background; DataError if it is silent, naming file and place."""
    found = level(wave)
    if found < _SILENT:
        raise DataError(
            f"{path}: is silent {where}: below {_SILENT:g} dB, and sounds are set against its level. Get the "
            "file anew."
        )
    return found


def gained(wave: Wave, decibels: float) -> Wave:
    """Return a wave made louder."""
    return (wave * 10 ** (decibels / 20)).astype(np.float32)


def active(wave: Wave, rate: int) -> tuple[int, int]:
    """Return where a sound begins and ends, in samples; (0, 0) if it is nowhere louder than its background.

    A frame of 25 ms is loud above the highest of: 40 dB under the loudest frame, 6 dB over the quietest
    tenth, and -65 dB. A sound that is as loud everywhere has no quiet tenth, so all of it counts.
    """
    frame, step = round(_FRAME * rate), round(_STEP * rate)
    if len(wave) < frame:
        return (0, 0)
    total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    starts = np.arange(0, len(wave) - frame + 1, step)
    levels = 10 * np.log10((total[starts + frame] - total[starts]) / frame + _TINY)
    peak, floor = float(levels.max()), float(np.percentile(levels, 10))
    steady = peak - floor < 2 * _OVER_FLOOR
    least = max(peak - _UNDER_PEAK, _QUIETEST, -np.inf if steady else floor + _OVER_FLOOR)
    loud = np.flatnonzero(levels >= least)
    if not len(loud) or peak < _QUIETEST:
        return (0, 0)
    margin = round(_MARGIN * rate)
    first, last = int(starts[loud[0]]), int(starts[loud[-1]]) + frame
    return max(0, first - margin), min(len(wave), last + margin)


def loudest(wave: Wave, length: int) -> int:
    """Return where the stretch of a length begins that has the most energy."""
    if len(wave) <= length:
        return 0
    total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    return int(np.argmax(total[length:] - total[:-length]))


def faded(wave: Wave, samples: int) -> Wave:
    """Return a wave that rises at its start and falls at its end."""
    samples = min(samples, len(wave) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, samples, dtype=np.float32)) ** 2
    found = wave.copy()
    found[:samples] *= ramp
    found[len(found) - samples :] *= ramp[::-1]
    return found


def turned(wave: Wave, length: int, offset: int, fade: int) -> Wave:
    """Return a stretch of a background that begins anywhere and goes round.

    Where its end meets its start, and so wherever it is too short, both are mixed over `fade` samples with
    equal power.
    """
    fade = min(fade, len(wave) // 2)
    ramp = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    loop = wave[: len(wave) - fade].copy()
    loop[:fade] = loop[:fade] * np.sin(ramp) + wave[len(wave) - fade :] * np.cos(ramp)
    rounds = -(-(offset % len(loop) + length) // len(loop))
    return np.tile(loop, rounds)[offset % len(loop) :][:length]


def guarded(wave: Wave) -> tuple[Wave, float]:
    """Return a mixture whose peak fits, and the dB that it was turned down; signal-to-noise ratios stay."""
    peak = float(np.abs(wave).max(initial=0))
    if peak <= LOUDEST:
        return wave, 0.0
    gain = 20 * math.log10(LOUDEST / peak)
    return gained(wave, gain), gain
