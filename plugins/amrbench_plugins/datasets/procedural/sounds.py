"""Twenty recognisable procedural sounds, each with one attribute of two values.

The function of a class takes a random generator, a number of samples and the value (0 or 1) of its
attribute, and returns a signal at `dsp.RATE`. No sound pauses for longer than about a second, so a window
describes an event well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from amrbench_plugins.datasets.procedural import dsp
from amrbench_plugins.datasets.procedural.dsp import Band, Mode, Rng, Signal, Tilt

Synthesizer = Callable[[Rng, int, int], Signal]
Range = tuple[float, float]


def _pick(rng: Rng, value: int, zero: Range, one: Range) -> float:
    return float(rng.uniform(*(one if value else zero)))


def _turns(rng: Rng, count: int, rate: float) -> Signal:
    start = np.float32(rng.uniform(0, 1))
    turns = dsp.clock(count) * np.float32(rate) + start
    return np.asarray(turns - np.floor(turns))


def _swing(rng: Rng, count: int, rate: float) -> Signal:
    return np.asarray(np.sin(np.float32(2 * math.pi) * _turns(rng, count, rate)))


def _gate(rng: Rng, count: int, *, rate: float, duty: float) -> Signal:
    return (_turns(rng, count, rate) < duty).astype(np.float32)


def siren(rng: Rng, count: int, value: int) -> Signal:
    """A tone that sweeps up and down: slowly or quickly."""
    rate = _pick(rng, value, (0.35, 0.5), (2.6, 3.6))
    frequency = rng.uniform(850, 950) + 350 * _swing(rng, count, rate)
    return dsp.harmonic(frequency, (1.0, 0.5, 0.35, 0.2, 0.1))


def dog(rng: Rng, count: int, value: int) -> Signal:
    """Groups of barks with an arched pitch: a big or a small dog."""
    base = _pick(rng, value, (140, 190), (450, 600))

    def bark() -> Signal:
        size = dsp.samples(rng.uniform(0.13, 0.2))
        arch = dsp.hump(size, 0.6)
        voice = dsp.harmonic(base * rng.uniform(0.95, 1.05) * (1 + 0.5 * arch), dsp.falling(8, 0.5))
        return (voice + 0.4 * dsp.noise(rng, size, Band(500, 3000))) * arch

    times = dsp.bursts(rng, count, size=(1, 3), step=(0.26, 0.36), rest=0.35)
    return dsp.grains(rng, count, times, bark)


def rain(rng: Rng, count: int, value: int) -> Signal:
    """Drops over a bed of hiss: light or heavy."""
    bed = dsp.noise(rng, count, Band(1200, 7000)) * (0.12, 1.0)[value]
    size = dsp.samples(0.015)
    drops = dsp.grains(
        rng,
        count,
        dsp.scattered(rng, count, rate=(22, 60)[value]),
        lambda: 2 * dsp.noise(rng, size, Band(2500, 7500)) * dsp.decay(size, 0.003),
        variants=12,
    )
    return np.asarray(bed + drops, dtype=np.float32)


def engine(rng: Rng, count: int, value: int) -> Signal:
    """A harmonic rumble with a wandering speed: idling or revving."""
    base = _pick(rng, value, (26, 36), (90, 130))
    frequency = base * dsp.wander(rng, count, rate=0.8, low=0.95, high=1.05)
    return dsp.harmonic(frequency, dsp.falling(22)) + 0.15 * dsp.noise(rng, count, Band(80, 1200))


def footsteps(rng: Rng, count: int, value: int) -> Signal:
    """Thumps with a scrape: walking or running."""

    def step() -> Signal:
        size = dsp.samples(0.14)
        thump = dsp.struck(rng, size, [Mode(rng.uniform(80, 120), 1.5, 0.02)])
        return thump + 0.5 * dsp.noise(rng, size, Band(300, 2500)) * dsp.decay(size, 0.02)

    rate = _pick(rng, value, (1.5, 1.9), (3.2, 4.0))
    return dsp.grains(rng, count, dsp.regular(rng, count, rate=rate, jitter=0.05), step)


def clock(rng: Rng, count: int, value: int) -> Signal:
    """Short metallic ticks at an even pace: slow or fast."""

    def tick() -> Signal:
        modes = [Mode(rng.uniform(2500, 3200), 1.0, 0.005), Mode(5300, 0.6, 0.003)]
        return dsp.struck(rng, dsp.samples(0.04), modes)

    rate = _pick(rng, value, (1.4, 1.8), (5.0, 6.5))
    return dsp.grains(rng, count, dsp.regular(rng, count, rate=rate, jitter=0.005), tick)


def phone(rng: Rng, count: int, value: int) -> Signal:
    """Two warbling tones in bursts: low or high."""
    base = _pick(rng, value, (420, 520), (1300, 1650))
    tones = dsp.tone(count, base, (1.0,)) + dsp.tone(count, base * 1.19, (1.0,))
    warble = 0.2 + 0.8 * _gate(rng, count, rate=20, duty=0.5)
    return tones * warble * _gate(rng, count, rate=0.8, duty=0.7)


def knock(rng: Rng, count: int, value: int) -> Signal:
    """Groups of raps on wood: slow or fast."""
    step = ((0.36, 0.46), (0.12, 0.16))[value]
    modes = [Mode(190, 1, 0.03), Mode(420, 0.7, 0.015), Mode(760, 0.4, 0.01)]
    times = dsp.bursts(rng, count, size=(3, 5), step=step, rest=0.4)
    return dsp.grains(rng, count, times, lambda: dsp.struck(rng, dsp.samples(0.12), modes))


def bird(rng: Rng, count: int, value: int) -> Signal:
    """Gliding chirps: low or high."""
    base = _pick(rng, value, (1700, 2300), (4300, 5400))

    def chirp() -> Signal:
        size = dsp.samples(rng.uniform(0.07, 0.14))
        glide = base * (1 + rng.uniform(-0.3, 0.3) * np.linspace(0, 1, size))
        return dsp.harmonic(glide, (1.0, 0.2)) * dsp.hump(size)

    return dsp.grains(rng, count, dsp.scattered(rng, count, rate=5), chirp, variants=10)


def applause(rng: Rng, count: int, value: int) -> Signal:
    """Hand claps: a few people or a crowd."""
    size = dsp.samples(0.035)
    times = dsp.scattered(rng, count, rate=(6, 80)[value])
    return dsp.grains(
        rng,
        count,
        times,
        lambda: dsp.noise(rng, size, Band(rng.uniform(600, 900), 3500)) * dsp.decay(size, 0.008),
        variants=12,
    )


def alarm(rng: Rng, count: int, value: int) -> Signal:
    """Electronic beeps of one pitch: slow or fast."""
    tone = dsp.tone(count, rng.uniform(2000, 2700), (1.0, 0.0, 0.3))
    return tone * _gate(rng, count, rate=_pick(rng, value, (1.3, 1.7), (5.0, 6.5)), duty=0.5)


def sawing(rng: Rng, count: int, value: int) -> Signal:
    """Rough strokes of a hand saw: slow or fast."""
    rate = _pick(rng, value, (0.9, 1.2), (2.8, 3.5))
    strokes = np.abs(_swing(rng, count, rate / 2)) ** 1.5
    teeth = 0.6 + 0.4 * np.sign(_swing(rng, count, 90))
    return np.asarray(dsp.noise(rng, count, Band(900, 4000)) * strokes * teeth, dtype=np.float32)


def helicopter(rng: Rng, count: int, value: int) -> Signal:
    """Chopped low noise: slow or fast rotor."""
    beats = (0.5 + 0.5 * _swing(rng, count, _pick(rng, value, (7, 10), (19, 25)))) ** 4
    return dsp.noise(rng, count, Band(40, 800)) * (beats + 0.1)


def crickets(rng: Rng, count: int, value: int) -> Signal:
    """A pulsed high tone in groups: slow or fast."""
    tone = dsp.tone(count, rng.uniform(4300, 5000), (1.0,))
    groups = _gate(rng, count, rate=_pick(rng, value, (1.3, 1.8), (4.5, 6.0)), duty=0.45)
    return tone * _gate(rng, count, rate=28, duty=0.5) * groups


def bell(rng: Rng, count: int, value: int) -> Signal:
    """A struck bell with inharmonic partials: low or high."""
    base = _pick(rng, value, (190, 260), (640, 850))
    ratios = (0.5, 1.0, 1.2, 1.5, 2.0, 2.66, 3.0, 4.2)
    loudness = (0.5, 1.0, 0.7, 0.5, 0.6, 0.4, 0.3, 0.2)
    modes = [Mode(base * r, a, 1.0 / math.sqrt(r)) for r, a in zip(ratios, loudness, strict=True)]
    times = dsp.regular(rng, count, rate=rng.uniform(0.8, 1.1), jitter=0.02)
    return dsp.grains(rng, count, times, lambda: dsp.struck(rng, dsp.samples(2.0), modes), variants=2)


def vacuum(rng: Rng, count: int, value: int) -> Signal:
    """Broad noise with a motor whine: low or high."""
    whine = dsp.tone(count, _pick(rng, value, (150, 200), (400, 500)), (0.8, 0.6, 0.5, 0.4, 0.2, 0.2))
    return 0.5 * dsp.noise(rng, count, Band(200, 5000)) + whine


def voice(rng: Rng, count: int, value: int) -> Signal:
    """Syllables of a harmonic source through moving formants: a man or a woman."""
    pitch = _pick(rng, value, (95, 130), (200, 250))
    frequency = pitch * dsp.wander(rng, count, rate=3, low=0.9, high=1.1)
    source = dsp.harmonic(frequency, dsp.falling(28, 0.5))
    size = dsp.fft_size(count)
    spectrum = np.fft.rfft(source, size)
    grid = np.fft.rfftfreq(size, 1 / dsp.RATE)
    signal = np.zeros(count, np.float32)
    for formants in ((600, 1100, 2500), (350, 2000, 2700), (450, 900, 2400)):
        gain = sum(1 / (1 + ((grid - centre) / 90) ** 2) for centre in formants)
        vowel = np.fft.irfft(spectrum * gain, size)[:count].astype(np.float32)
        signal += vowel * dsp.wander(rng, count, rate=3, low=0, high=1) ** 2
    syllables = np.abs(_swing(rng, count, rng.uniform(1.8, 2.4))) ** 1.2
    return np.asarray(signal * (0.05 + syllables), dtype=np.float32)


def frog(rng: Rng, count: int, value: int) -> Signal:
    """Rattling croaks: low or high."""
    pitch = _pick(rng, value, (330, 430), (950, 1200))
    size = dsp.samples(0.28)

    def croak() -> Signal:
        rattle = (_swing(rng, size, 45) > -0.2).astype(np.float32)
        return dsp.tone(size, pitch, (1.0, 0.3)) * rattle * dsp.hump(size)

    times = dsp.regular(rng, count, rate=rng.uniform(1.5, 2.1), jitter=0.12)
    return dsp.grains(rng, count, times, croak)


def car_horn(rng: Rng, count: int, value: int) -> Signal:
    """Two horn notes together: long or short honks."""
    partials = (1.0, 0.7, 0.6, 0.4, 0.3)
    base = rng.uniform(390, 430)
    chord = dsp.tone(count, base, partials) + dsp.tone(count, base * 1.25, partials)
    return chord * (
        _gate(rng, count, rate=2.4, duty=0.5) if value else _gate(rng, count, rate=0.45, duty=0.8)
    )


def drum(rng: Rng, count: int, value: int) -> Signal:
    """Beats on a drum with a rattle: slow or fast."""
    size = dsp.samples(0.3)

    def beat() -> Signal:
        skin = dsp.struck(rng, size, [Mode(70, 1.0, 0.09), Mode(125, 0.6, 0.06)])
        rattle = rng.choice([0.0, 0.5]) * dsp.noise(rng, size, Band(1500, 6000)) * dsp.decay(size, 0.04)
        return np.asarray(skin + rattle, dtype=np.float32)

    rate = _pick(rng, value, (1.5, 1.9), (4.5, 5.5))
    return dsp.grains(rng, count, dsp.regular(rng, count, rate=rate, jitter=0.01), beat, variants=8)


SYNTHESIZERS: dict[str, Synthesizer] = {
    "alarm": alarm,
    "applause": applause,
    "bell": bell,
    "bird": bird,
    "car horn": car_horn,
    "clock": clock,
    "crickets": crickets,
    "dog": dog,
    "drum": drum,
    "engine": engine,
    "footsteps": footsteps,
    "frog": frog,
    "helicopter": helicopter,
    "knock": knock,
    "phone": phone,
    "rain": rain,
    "sawing": sawing,
    "siren": siren,
    "vacuum": vacuum,
    "voice": voice,
}
"""Function of each class; random plans depend on the order, so another one needs a new version."""

CLASSES: tuple[str, ...] = tuple(SYNTHESIZERS)


def sound(rng: Rng, name: str, *, value: int, seconds: float) -> Signal:
    """Return a sound of a class with a peak of one and soft ends."""
    return dsp.fade(dsp.peak_one(SYNTHESIZERS[name](rng, dsp.samples(seconds), value)))


def from_afar(rng: Rng, signal: Signal) -> Signal:
    """Return the sound as from a distance: duller, with a diffuse tail."""
    dull = dsp.low_pass(signal, rng.uniform(1800, 2600))
    return dsp.fade(dsp.peak_one(dsp.reverberate(rng, dull, seconds=0.1, direct=0.8)))


BACKGROUNDS: tuple[str, ...] = ("pink", "brown", "hum", "babble", "wind")


def background(rng: Rng, kind: str, *, seconds: float) -> Signal:
    """Return background noise of unit RMS; `kind` is one of `BACKGROUNDS`."""
    count = dsp.samples(seconds)
    if kind == "pink":
        signal = dsp.noise(rng, count, Tilt(0.5))
    elif kind == "brown":
        signal = dsp.noise(rng, count, Tilt(1.0))
    elif kind == "hum":
        signal = 0.5 * dsp.noise(rng, count, Tilt(0.7)) + dsp.tone(count, 50, (0.6, 0.5, 0.3, 0.0, 0.2))
    elif kind == "babble":
        murmur = dsp.noise(rng, count, Band(200, 3000)) * dsp.wander(rng, count, rate=4, low=0.3, high=1)
        signal = 0.5 * dsp.noise(rng, count, Tilt(0.6)) + murmur
    else:
        signal = dsp.noise(rng, count, Band(60, 900)) * dsp.wander(rng, count, rate=0.5, low=0.3, high=1)
    return np.asarray(signal / (dsp.rms(signal) + 1e-9), dtype=np.float32)
