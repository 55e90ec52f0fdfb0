"""Building blocks of procedural sounds: shaped noise, oscillators, struck modes, grains.

Everything works on one-dimensional float32 arrays at `RATE` samples a second. A block costs a few array
passes, so one core makes minutes of audio in a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from amrbench_plugins.datasets.layouts.levels import straight_lines

RATE = 16_000
"""Samples a second of everything that is synthesised."""

Signal = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating]
Rng = np.random.Generator

_TABLE = 4096
"""Samples of one period of a waveform."""
_SOFTNESS = 0.15
"""Of the edges of a band, in natural logarithms of frequency."""
_RESONANCE = 90.0
"""Hz from the centre of a resonance to half of its gain."""
_FADE = 0.02
"""Seconds at both ends of a sound."""
_GRID = 8
"""FFT lengths are rounded up to so many different ones an octave first, so that gains are reused."""
_BLOCK = 20 * RATE
"""Samples of noise that are made at once; long noise is joined from such blocks."""
_OVERLAP = RATE // 10
"""Samples that two blocks share."""


@dataclass(frozen=True)
class Band:
    """A smooth band-pass gain between two corner frequencies in Hz."""

    low: float
    high: float

    def gain(self, frequency: Numbers) -> Times:
        """Return the gain at each frequency in Hz."""
        octave = np.log(np.maximum(frequency, 1.0))
        rise = 1 / (1 + np.exp(-(octave - math.log(self.low)) / _SOFTNESS))
        fall = 1 / (1 + np.exp((octave - math.log(self.high)) / _SOFTNESS))
        return np.asarray(rise * fall)


@dataclass(frozen=True)
class Tilt:
    """A gain that falls as a power of frequency: 0.5 is pink, 1 is brown."""

    exponent: float

    def gain(self, frequency: Numbers) -> Times:
        """Return the gain at each frequency in Hz."""
        return np.asarray(np.maximum(frequency, 20.0) ** -self.exponent)


def samples(seconds: float) -> int:
    """Return the number of samples nearest to a time in seconds."""
    return round(seconds * RATE)


def fft_size(count: int) -> int:
    """Return a fast FFT length of at least `count`; there are few, so plans and gains are reused."""
    step = max(1, (1 << max(count - 1, 1).bit_length()) // (2 * _GRID))
    return int(next_fast_len(-(-count // step) * step, real=True))


@lru_cache(maxsize=128)
def _gain(curve: Band | Tilt, size: int) -> Signal:
    return curve.gain(np.fft.rfftfreq(size, 1 / RATE)).astype(np.float32)


def noise(rng: Rng, count: int, curve: Band | Tilt) -> Signal:
    """Return Gaussian noise of unit standard deviation with the spectrum of `curve`."""
    if count <= _BLOCK:
        return _noise_block(rng, count, curve)
    signal = np.zeros(count + _BLOCK, np.float32)
    rise = np.sqrt(np.linspace(0, 1, _OVERLAP, dtype=np.float32))
    for first in range(0, count, _BLOCK - _OVERLAP):
        block = _noise_block(rng, _BLOCK, curve)
        if first:
            block[:_OVERLAP] *= rise
        block[-_OVERLAP:] *= rise[::-1]
        signal[first : first + _BLOCK] += block
    return signal[:count]


def _noise_block(rng: Rng, count: int, curve: Band | Tilt) -> Signal:
    size = fft_size(count)
    spectrum = rng.standard_normal((size // 2 + 1, 2), dtype=np.float32).view(np.complex64)[:, 0]
    spectrum *= _gain(curve, size)
    signal: Signal = irfft(spectrum, size, overwrite_x=True)[:count]
    signal /= signal.std() + np.float32(1e-12)
    return signal


def wander(rng: Rng, count: int, *, rate: float, low: float, high: float) -> Signal:
    """Return a random curve of straight lines between `low` and `high` with `rate` new values a second."""
    period = samples(1 / rate)
    return straight_lines(rng.uniform(low, high, -(-count // period) + 1), period)[:count]


def clock(count: int) -> Signal:
    """Return the time of each sample in seconds."""
    time = np.arange(count, dtype=np.float32)
    time /= np.float32(RATE)
    return time


@lru_cache(maxsize=64)
def _wave_table(amplitudes: tuple[float, ...]) -> Signal:
    phase = 2 * np.pi * np.arange(_TABLE) / _TABLE
    partials = [a * np.sin((k + 1) * phase) for k, a in enumerate(amplitudes)]
    return np.asarray(np.sum(partials, axis=0), dtype=np.float32)


def harmonic(frequency: Numbers, amplitudes: tuple[float, ...]) -> Signal:
    """Return partials at multiples of a frequency in Hz.

    Args:
        frequency: (samples,) the fundamental at each sample.
        amplitudes: Of partials 1, 2, ...
    """
    return next(harmonics(frequency, [amplitudes]))


def harmonics(frequency: Numbers, several: Sequence[tuple[float, ...]]) -> Iterator[Signal]:
    """Yield `harmonic` for each of several amplitudes."""
    turns = np.cumsum(frequency, dtype=np.float64)  # In place from here on: these arrays are long.
    turns /= RATE
    turns -= np.floor(turns)
    turns *= _TABLE
    index = turns.astype(np.intp)
    np.minimum(index, _TABLE - 1, out=index)
    for amplitudes in several:
        yield _wave_table(amplitudes).take(index, mode="clip")


def tone(count: int, frequency: float, amplitudes: tuple[float, ...]) -> Signal:
    """Return `harmonic` at a constant frequency in Hz."""
    return harmonic(np.full(count, frequency), amplitudes)


def falling(partials: int, power: float = 1.0) -> tuple[float, ...]:
    """Return amplitudes 1/k^power of the first partials."""
    return tuple(1.0 / k**power for k in range(1, partials + 1))


def resonant(amplitudes: Sequence[float], pitch: float, centres: Sequence[float]) -> tuple[float, ...]:
    """Return the amplitudes of the partials of a pitch behind resonances at some frequencies, in Hz."""
    partials = pitch * np.arange(1, len(amplitudes) + 1)
    gain = sum(1 / (1 + ((partials - centre) / _RESONANCE) ** 2) for centre in centres)
    return tuple((np.asarray(amplitudes) * gain).tolist())


def decay(count: int, seconds: float) -> Signal:
    """Return an exponential decay with the given time constant."""
    return np.asarray(np.exp(-clock(count) / np.float32(seconds)))


@dataclass(frozen=True)
class Mode:
    """One decaying partial of a struck body: frequency in Hz, amplitude, time constant in seconds."""

    frequency: float
    amplitude: float
    seconds: float


def struck(rng: Rng, count: int, modes: Sequence[Mode]) -> Signal:
    """Return the sum of decaying partials with random phases, without those near or above Nyquist."""
    time = clock(count)
    signal = np.zeros(count, np.float32)
    for mode in modes:
        if mode.frequency < 0.48 * RATE:
            phase = np.float32(rng.uniform(0, 2 * math.pi))
            sine = np.sin(np.float32(2 * math.pi * mode.frequency) * time + phase)
            signal += np.float32(mode.amplitude) * decay(count, mode.seconds) * sine
    return signal


def regular(rng: Rng, count: int, *, rate: float, jitter: float = 0.03) -> Times:
    """Return onset times in seconds at a nearly even rate, the first one where a sound has faded in."""
    times = np.arange(_FADE, count / RATE, 1 / rate)
    return np.maximum(times + rng.normal(0, jitter / rate, len(times)), _FADE)


def scattered(rng: Rng, count: int, *, rate: float) -> Times:
    """Return sorted onset times of a Poisson process, with one more at either end."""
    seconds = count / RATE
    inner = rng.uniform(0, seconds, max(0, rng.poisson(rate * seconds)))
    return np.sort(np.concatenate([inner, [0.0, max(0.0, seconds - 0.15)]]))


def bursts(rng: Rng, count: int, *, size: tuple[int, int], step: tuple[float, float], rest: float) -> Times:
    """Return onsets in groups: `size` onsets `step` seconds apart, then a rest of about `rest` seconds."""
    times: list[float] = []
    now = 0.0
    while now < count / RATE:
        for _ in range(int(rng.integers(size[0], size[1] + 1))):
            times.append(now)
            now += float(rng.uniform(*step))
        now += rest * float(rng.uniform(0.7, 1.3))
    return np.asarray(times)


def grains(rng: Rng, count: int, times: Times, make: Callable[[], Signal], *, variants: int = 6) -> Signal:
    """Return short sounds at the given times in seconds, drawn from variants of `make`, randomly loud."""
    shapes = [make() for _ in range(min(variants, max(1, len(times))))]
    signal = np.zeros(count, np.float32)
    choice = rng.integers(len(shapes), size=len(times))
    loudness = rng.uniform(0.6, 1.0, len(times)).astype(np.float32)
    for time, which, gain in zip(times, choice, loudness, strict=True):
        first = samples(time)
        piece = shapes[which][: max(0, count - first)]
        signal[first : first + len(piece)] += gain * piece
    return signal


def hump(count: int, power: float = 1.0) -> Signal:
    """Return half a sine wave raised to a power; it is zero at both ends."""
    return np.asarray(np.sin(np.linspace(0, math.pi, count)).clip(0) ** power, dtype=np.float32)


def peak_one(signal: Signal) -> Signal:
    """Return the signal scaled to a peak of one."""
    return np.asarray(signal / (np.abs(signal).max() + 1e-9), dtype=np.float32)


def rms(signal: Signal) -> float:
    """Return the root of the mean power."""
    return float(np.sqrt(np.dot(signal, signal) / max(1, len(signal))))


def low_pass(signal: Signal, corner: float) -> Signal:
    """Return the signal through two one-pole low-passes with a corner frequency in Hz."""
    keep = math.exp(-2 * math.pi * corner / RATE)
    numerator, denominator = [(1 - keep) ** 2], [1.0, -2 * keep, keep * keep]
    return np.asarray(lfilter(numerator, denominator, signal), dtype=np.float32)


def reverberate(rng: Rng, signal: Signal, *, seconds: float, direct: float) -> Signal:
    """Return the signal with an exponentially decaying noise tail, cut to its own length."""
    tail = rng.standard_normal(samples(3 * seconds), dtype=np.float32)
    tail *= decay(len(tail), seconds)
    tail /= np.sqrt(np.dot(tail, tail)) + 1e-9
    tail[0] += np.float32(direct)
    size = fft_size(len(signal) + len(tail))
    wet = irfft(rfft(signal, size) * rfft(tail, size), size)[: len(signal)]
    return np.asarray(wet, dtype=np.float32)


def fade(signal: Signal) -> Signal:
    """Return the signal with straight ramps at both ends."""
    count = min(samples(_FADE), len(signal) // 2)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    faded = signal.copy()
    faded[:count] *= ramp
    faded[len(faded) - count :] *= ramp[::-1]
    return faded
