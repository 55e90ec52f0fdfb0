"""The level of a sound while it lasts, and how sounds and a background become one recording."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from amrbench.types import Floats, Rows
from amrbench_plugins.datasets.layouts.laws import Changes
from amrbench_plugins.datasets.layouts.streams import Rng

FULL_SCALE = 0.98
"""Largest peak of a recording."""
STEP = 0.05
"""Seconds between the points of a curve of levels."""
_SLOW = 1.5
"""Seconds between two independent values of the slow changes."""
_EDGE = (0.1, 0.4)
"""Length of the rise and of the fall as fractions of the sound, at most `_LONGEST_EDGE` seconds."""
_LONGEST_EDGE = 5.0
_PAUSE = (0.3, 1.2)
"""Shortest and longest pause in seconds; a sound lasts at least four times as long."""
_PAUSED = -34.0
"""Level in a pause, dB."""


def level_curve(rng: Rng, changes: Changes, seconds: float) -> Floats:
    """Return the level in dB at each of the times 0, `STEP`, ... up to `seconds` or just after."""
    times = np.arange(math.ceil(seconds / STEP) + 1) * STEP
    knots = np.linspace(0, seconds, max(2, int(seconds / _SLOW) + 2))
    level = np.interp(times, knots, rng.normal(0, changes.wander, len(knots)))
    for since_edge in (times, seconds - times):
        length = min(rng.uniform(*_EDGE) * seconds, _LONGEST_EDGE)
        level -= changes.edge.draw(rng) * np.clip(1 - since_edge / length, 0, 1)
    for _ in range(int(rng.poisson(changes.pauses * seconds))):
        length = rng.uniform(*_PAUSE)
        if seconds > 4 * length:
            start = rng.uniform(0.15 * seconds, 0.85 * seconds - length)
            level[(times > start) & (times < start + length)] = _PAUSED
    return np.asarray(level)


def straight_lines(values: Floats, period: int) -> Rows:
    """Return (n - 1) * period samples: straight lines through n values, one every `period` samples."""
    first, change = values[:-1, None].astype(np.float32), np.diff(values)[:, None].astype(np.float32)
    ramp = np.arange(period, dtype=np.float32) / np.float32(period)
    lines = change * ramp
    lines += first
    return np.asarray(lines.reshape(-1))


def with_changes(rng: Rng, signal: Rows, changes: Changes, *, rate: int) -> Rows:
    """Return a signal (samples,) whose level rises, wanders, pauses and falls."""
    gain = 10 ** (level_curve(rng, changes, len(signal) / rate) / 20)
    return np.asarray(signal * straight_lines(gain, round(STEP * rate))[: len(signal)])


def at_level(signal: Rows, level: float) -> Rows:
    """Return a signal (samples,) with an RMS of `level` dB relative to full scale; silence stays silence."""
    rms = float(np.sqrt(np.dot(signal, signal) / max(1, len(signal))))
    return np.asarray(signal * np.float32(10 ** (level / 20) / (rms + 1e-9)))


def mixed(background: Rows, events: Iterable[tuple[int, Rows]]) -> Rows:
    """Return background plus events (first sample, signal), turned down as a whole if it is too loud.

    What reaches past the end is cut off.
    """
    mix = background.copy()
    for first, signal in events:
        segment = mix[first : first + len(signal)]
        segment += signal[: len(segment)]  # a view: this changes the mix
    peak = float(np.abs(mix).max())
    return np.asarray(mix * np.float32(min(1.0, FULL_SCALE / peak) if peak else 1.0))
