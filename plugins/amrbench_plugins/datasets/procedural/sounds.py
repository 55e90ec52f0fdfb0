"""Twenty recognisable procedural sounds, each with one attribute of two values.

The function of a class makes a take of a number of samples at `dsp.RATE`. It begins at once and never pauses
for longer than about a second, so a window describes an event well.

Every take has parameters of its own: rates, pitches, bands. They are drawn from a section of their ranges, so
that some takes can be kept from the encoders, and others from training as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from amrbench_plugins.datasets.procedural import dsp
from amrbench_plugins.datasets.procedural.dsp import Band, Mode, Rng, Signal, Tilt

Range = tuple[float, float]
ENCODERS: Range = (0.0, 0.6)
"""Section of all ranges, as fractions, that the shipped encoders were trained on."""
TRAINING: Range = (0.0, 0.8)
"""Section of training and validation clips, and of most test clips."""
HELD_OUT: Range = (0.8, 1.0)
"""Section of which only test clips have takes."""


@dataclass(frozen=True)
class Take:
    """What decides how a class sounds this time.

    Attributes:
        rng: Draws parameters and details.
        value: Of the attribute, 0 or 1.
        section: Part of each range of a parameter, as fractions of it.
    """

    rng: Rng
    value: int
    section: Range

    def between(self, low: float, high: float) -> float:
        """Draw a parameter from the section of a range."""
        return low + (high - low) * float(self.rng.uniform(*self.section))

    def pick(self, zero: Range, one: Range) -> float:
        """Draw a parameter whose range depends on the value."""
        return self.between(*(one if self.value else zero))


Synthesizer = Callable[[Take, int], Signal]


def _turns(rng: Rng, count: int, rate: float, *, latest: float = 1.0) -> Signal:
    start = np.float32(rng.uniform(0, latest))
    turns = dsp.clock(count)
    turns *= np.float32(rate)
    turns += start
    turns -= np.floor(turns)
    return turns


def _swing(rng: Rng, count: int, rate: float) -> Signal:
    phase = _turns(rng, count, rate)
    phase *= np.float32(2 * math.pi)
    return np.asarray(np.sin(phase, out=phase))


def _gate(rng: Rng, count: int, *, rate: float, duty: float) -> Signal:
    """Return 1 and 0 by turns, first 1."""
    return (_turns(rng, count, rate, latest=0.5 * duty) < duty).astype(np.float32)


def siren(take: Take, count: int) -> Signal:
    """A tone that sweeps up and down: slowly or quickly."""
    rate = take.pick((0.35, 0.6), (2.6, 4.4))
    frequency = take.between(800, 1100) + 350 * _swing(take.rng, count, rate)
    return dsp.harmonic(frequency, (1.0, 0.5, 0.35, 0.2, 0.1))


def dog(take: Take, count: int) -> Signal:
    """Groups of barks with an arched pitch: a big or a small dog."""
    rng, base = take.rng, take.pick((130, 230), (430, 700))

    def bark() -> Signal:
        size = dsp.samples(rng.uniform(0.13, 0.2))
        arch = dsp.hump(size, 0.6)
        voice = dsp.harmonic(base * rng.uniform(0.95, 1.05) * (1 + 0.5 * arch), dsp.falling(8, 0.5))
        return (voice + 0.4 * dsp.noise(rng, size, Band(500, 3000))) * arch

    times = dsp.bursts(rng, count, size=(1, 3), step=(0.26, 0.36), rest=0.35)
    return dsp.grains(rng, count, times, bark)


def rain(take: Take, count: int) -> Signal:
    """Drops over a bed of hiss: light or heavy."""
    rng = take.rng
    bed = dsp.noise(rng, count, Band(take.between(1000, 1600), 7000)) * (0.12, 1.0)[take.value]
    size = dsp.samples(0.015)
    drops = dsp.grains(
        rng,
        count,
        dsp.scattered(rng, count, rate=take.pick((18, 30), (50, 80))),
        lambda: 2 * dsp.noise(rng, size, Band(2500, 7500)) * dsp.decay(size, 0.003),
        variants=12,
    )
    return np.asarray(bed + drops, dtype=np.float32)


def engine(take: Take, count: int) -> Signal:
    """A harmonic rumble with a wandering speed: idling or revving."""
    base = take.pick((24, 42), (80, 150))
    frequency = base * dsp.wander(take.rng, count, rate=0.8, low=0.95, high=1.05)
    return dsp.harmonic(frequency, dsp.falling(22)) + 0.15 * dsp.noise(take.rng, count, Band(80, 1200))


def footsteps(take: Take, count: int) -> Signal:
    """Thumps with a scrape: walking or running."""
    rng, weight, floor = take.rng, take.between(70, 130), take.between(2000, 3200)

    def step() -> Signal:
        size = dsp.samples(0.14)
        thump = dsp.struck(rng, size, [Mode(weight * rng.uniform(0.9, 1.1), 1.5, 0.02)])
        return thump + 0.5 * dsp.noise(rng, size, Band(300, floor)) * dsp.decay(size, 0.02)

    rate = take.pick((1.3, 2.1), (3.0, 4.6))
    return dsp.grains(rng, count, dsp.regular(rng, count, rate=rate, jitter=0.05), step)


def clock(take: Take, count: int) -> Signal:
    """Short metallic ticks at an even pace: slow or fast."""
    rng, pitch = take.rng, take.between(2300, 3500)

    def tick() -> Signal:
        modes = [Mode(pitch * rng.uniform(0.97, 1.03), 1.0, 0.005), Mode(1.9 * pitch, 0.6, 0.003)]
        return dsp.struck(rng, dsp.samples(0.04), modes)

    rate = take.pick((1.2, 2.0), (4.6, 7.4))
    return dsp.grains(rng, count, dsp.regular(rng, count, rate=rate, jitter=0.005), tick)


def phone(take: Take, count: int) -> Signal:
    """Two warbling tones in bursts: low or high."""
    base = take.pick((390, 600), (1200, 1900))
    tones = dsp.tone(count, base, (1.0,)) + dsp.tone(count, base * 1.19, (1.0,))
    warble = 0.2 + 0.8 * _gate(take.rng, count, rate=take.between(16, 26), duty=0.5)
    return tones * warble * _gate(take.rng, count, rate=take.between(0.7, 1.1), duty=0.7)


def knock(take: Take, count: int) -> Signal:
    """Groups of raps on wood: slow or fast."""
    rng, door, step = take.rng, take.between(0.8, 1.35), take.pick((0.34, 0.5), (0.11, 0.18))
    modes = [Mode(190 * door, 1, 0.03), Mode(420 * door, 0.7, 0.015), Mode(760 * door, 0.4, 0.01)]
    times = dsp.bursts(rng, count, size=(3, 5), step=(0.9 * step, 1.1 * step), rest=0.4)
    return dsp.grains(rng, count, times, lambda: dsp.struck(rng, dsp.samples(0.12), modes))


def bird(take: Take, count: int) -> Signal:
    """Gliding chirps: low or high."""
    rng, base = take.rng, take.pick((1600, 2700), (3900, 5800))

    def chirp() -> Signal:
        size = dsp.samples(rng.uniform(0.07, 0.14))
        glide = base * (1 + rng.uniform(-0.3, 0.3) * np.linspace(0, 1, size))
        return dsp.harmonic(glide, (1.0, 0.2)) * dsp.hump(size)

    return dsp.grains(rng, count, dsp.scattered(rng, count, rate=take.between(5, 8)), chirp, variants=10)


def applause(take: Take, count: int) -> Signal:
    """Hand claps: a few people or a crowd."""
    rng, hands, size = take.rng, take.between(550, 1000), dsp.samples(0.035)
    times = dsp.scattered(rng, count, rate=take.pick((5, 10), (60, 110)))
    return dsp.grains(
        rng,
        count,
        times,
        lambda: dsp.noise(rng, size, Band(hands * rng.uniform(0.9, 1.1), 3500)) * dsp.decay(size, 0.008),
        variants=12,
    )


def alarm(take: Take, count: int) -> Signal:
    """Electronic beeps of one pitch: slow or fast."""
    tone = dsp.tone(count, take.between(1800, 3000), (1.0, 0.0, 0.3))
    return tone * _gate(take.rng, count, rate=take.pick((1.2, 2.0), (4.6, 7.4)), duty=0.5)


def sawing(take: Take, count: int) -> Signal:
    """Rough strokes of a hand saw: slow or fast."""
    rate = take.pick((0.8, 1.4), (2.5, 4.0))
    strokes = np.abs(_swing(take.rng, count, rate / 2)) ** 1.5
    teeth = 0.6 + 0.4 * np.sign(_swing(take.rng, count, take.between(70, 130)))
    wood = dsp.noise(take.rng, count, Band(take.between(800, 1300), 4000))
    return np.asarray(wood * strokes * teeth, dtype=np.float32)


def helicopter(take: Take, count: int) -> Signal:
    """Chopped low noise: slow or fast rotor."""
    beats = (0.5 + 0.5 * _swing(take.rng, count, take.pick((6.5, 12), (18, 28)))) ** 4
    return dsp.noise(take.rng, count, Band(40, take.between(700, 1100))) * (beats + 0.1)


def crickets(take: Take, count: int) -> Signal:
    """A pulsed high tone in groups: slow or fast."""
    rng, tone = take.rng, dsp.tone(count, take.between(4100, 5400), (1.0,))
    groups = _gate(rng, count, rate=take.pick((1.2, 2.0), (4.2, 6.8)), duty=0.45)
    return tone * _gate(rng, count, rate=take.between(24, 36), duty=0.5) * groups


def bell(take: Take, count: int) -> Signal:
    """A struck bell with inharmonic partials: low or high."""
    rng, base = take.rng, take.pick((180, 310), (600, 980))
    ratios = (0.5, 1.0, 1.2, 1.5, 2.0, 2.66, 3.0, 4.2)
    loudness = (0.5, 1.0, 0.7, 0.5, 0.6, 0.4, 0.3, 0.2)
    modes = [Mode(base * r, a, 1.0 / math.sqrt(r)) for r, a in zip(ratios, loudness, strict=True)]
    times = dsp.regular(rng, count, rate=take.between(0.8, 1.2), jitter=0.02)
    return dsp.grains(rng, count, times, lambda: dsp.struck(rng, dsp.samples(2.0), modes), variants=2)


def vacuum(take: Take, count: int) -> Signal:
    """Broad noise with a motor whine: low or high."""
    whine = dsp.tone(count, take.pick((140, 240), (380, 580)), (0.8, 0.6, 0.5, 0.4, 0.2, 0.2))
    return 0.5 * dsp.noise(take.rng, count, Band(200, take.between(4500, 6500))) + whine


def voice(take: Take, count: int) -> Signal:
    """Syllables of a harmonic source through moving formants: a man or a woman."""
    rng, tract, pitch = take.rng, take.between(0.95, 1.1), take.pick((90, 150), (185, 280))
    frequency = pitch * dsp.wander(rng, count, rate=3, low=0.9, high=1.1)
    vowels = [
        dsp.resonant(dsp.falling(28, 0.5), pitch, [tract * formant for formant in formants])
        for formants in ((600, 1100, 2500), (350, 2000, 2700), (450, 900, 2400))
    ]
    signal = np.zeros(count, np.float32)
    for vowel in dsp.harmonics(frequency, vowels):
        loudness = dsp.wander(rng, count, rate=3, low=0, high=1)
        loudness *= loudness
        vowel *= loudness
        signal += vowel
    syllables = np.abs(_swing(rng, count, take.between(1.7, 2.6))) ** 1.2
    return np.asarray(signal * (0.05 + syllables), dtype=np.float32)


def frog(take: Take, count: int) -> Signal:
    """Rattling croaks: low or high."""
    rng, pitch, size = take.rng, take.pick((310, 500), (880, 1350)), dsp.samples(0.28)
    roughness = take.between(38, 60)

    def croak() -> Signal:
        rattle = (_swing(rng, size, roughness) > -0.2).astype(np.float32)
        return dsp.tone(size, pitch, (1.0, 0.3)) * rattle * dsp.hump(size)

    times = dsp.regular(rng, count, rate=take.between(1.4, 2.3), jitter=0.12)
    return dsp.grains(rng, count, times, croak)


def car_horn(take: Take, count: int) -> Signal:
    """Two horn notes together: long or short honks."""
    partials, base = (1.0, 0.7, 0.6, 0.4, 0.3), take.between(370, 470)
    chord = dsp.tone(count, base, partials) + dsp.tone(count, base * 1.25, partials)
    rate = take.pick((0.4, 0.6), (2.2, 3.2))
    return chord * _gate(take.rng, count, rate=rate, duty=(0.8, 0.5)[take.value])


def drum(take: Take, count: int) -> Signal:
    """Beats on a drum with a rattle: slow or fast."""
    rng, skin, size = take.rng, take.between(60, 95), dsp.samples(0.3)

    def beat() -> Signal:
        modes = dsp.struck(rng, size, [Mode(skin, 1.0, 0.09), Mode(1.8 * skin, 0.6, 0.06)])
        rattle = rng.choice([0.0, 0.5]) * dsp.noise(rng, size, Band(1500, 6000)) * dsp.decay(size, 0.04)
        return np.asarray(modes + rattle, dtype=np.float32)

    rate = take.pick((1.4, 2.2), (4.2, 6.2))
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


def sound(take: Take, name: str, *, seconds: float) -> Signal:
    """Return a take of a class with a peak of one and soft ends."""
    return dsp.fade(dsp.peak_one(SYNTHESIZERS[name](take, dsp.samples(seconds))))


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


def bed(take: Take, name: str, *, seconds: float) -> Signal:
    """Return a class that goes on for long and comes and goes a little, of unit RMS."""
    count = dsp.samples(seconds)
    signal = SYNTHESIZERS[name](take, count) * dsp.wander(take.rng, count, rate=0.1, low=0.4, high=1)
    return np.asarray(signal / (dsp.rms(signal) + 1e-9), dtype=np.float32)
