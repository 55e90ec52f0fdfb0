"""The twenty procedural sounds and the backgrounds."""

import numpy as np
import pytest

from amrbench_plugins.datasets.procedural import dsp, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE
from amrbench_plugins.datasets.procedural.sounds import ENCODERS, HELD_OUT, TRAINING, Take
from tests.plugins.datasets.procedural.plans import generator


def take(seed, value, section=TRAINING):
    return Take(generator(seed), value, section)


@pytest.mark.parametrize("kind", sounds.BACKGROUNDS)
@pytest.mark.parametrize("seconds", [1.0, 7.3])
def test_backgrounds_are_finite_and_of_unit_level(kind, seconds):
    signal = sounds.background(generator(0), kind, seconds=seconds)
    assert signal.shape == (dsp.samples(seconds),)
    assert signal.dtype == np.float32
    assert dsp.rms(signal) == pytest.approx(1, abs=1e-3)


def longest_pause(signal):
    """Seconds of the longest part below -40 dB of the peak, ends included."""
    loud = np.flatnonzero(np.abs(signal) > np.abs(signal).max() / 100)
    return np.diff(np.concatenate([[0], loud, [len(signal)]])).max() / RATE


@pytest.mark.parametrize("name", sounds.CLASSES)
@pytest.mark.parametrize("value", [0, 1])
def test_a_sound_has_a_peak_of_one_and_no_long_pause(name, value):
    for seed, section in ((0, TRAINING), (1, TRAINING), (2, HELD_OUT), (3, HELD_OUT)):
        signal = sounds.sound(take(seed, value, section), name, seconds=6.0)
        assert signal.shape == (6 * RATE,)
        assert signal.dtype == np.float32
        assert np.abs(signal).max() == pytest.approx(1, abs=0.2)
        assert np.abs(signal).max() <= 1 + 1e-6
        assert longest_pause(signal) < 1.6


@pytest.mark.parametrize("name", sounds.CLASSES)
@pytest.mark.parametrize("value", [0, 1])
def test_a_sound_begins_at_once(name, value):
    for seed in range(6):
        signal = np.abs(sounds.sound(take(seed, value), name, seconds=2.0))
        assert np.flatnonzero(signal > 0.1)[0] < 0.3 * RATE


def test_parameters_are_drawn_from_their_section():
    for section in (ENCODERS, TRAINING, HELD_OUT):
        one = take(0, 1, section)
        drawn = [one.pick((0, 1), (100, 200)) for _ in range(500)]
        low, high = (100 + 100 * fraction for fraction in section)
        assert low <= min(drawn) < low + 2
        assert high - 2 < max(drawn) <= high


def test_held_out_takes_are_new_to_training_and_training_takes_to_encoders():
    assert ENCODERS[1] < TRAINING[1] == HELD_OUT[0]
    assert ENCODERS[0] == TRAINING[0] == 0
    assert HELD_OUT[1] == 1


@pytest.mark.parametrize("name", ["voice", "rain", "clock"])
def test_a_bed_goes_on_for_as_long_as_it_is_asked_to(name):
    signal = sounds.bed(take(0, 1), name, seconds=45.0)
    assert signal.shape == (45 * RATE,)
    assert dsp.rms(signal) == pytest.approx(1, abs=1e-3)
    pieces = [dsp.rms(piece) for piece in signal.reshape(9, -1)]
    assert min(pieces) > 0.2


@pytest.mark.parametrize("name", sounds.CLASSES)
def test_the_two_values_of_a_class_sound_different(name):
    signals = [sounds.sound(take(1, value), name, seconds=3.0) for value in (0, 1)]
    powers = [np.abs(np.fft.rfft(signal)) ** 2 for signal in signals]
    zero, one = (power / power.sum() for power in powers)
    assert np.abs(zero - one).sum() > 0.3


def test_distance_dulls_a_sound():
    signal = sounds.sound(take(0, 1), "rain", seconds=3.0)
    far = sounds.from_afar(generator(1), signal)
    assert far.shape == signal.shape
    assert treble(far) < treble(signal) / 3


def treble(signal):
    """Fraction of the power above 5 kHz."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    return power[np.fft.rfftfreq(len(signal), 1 / RATE) > 5000].sum() / power.sum()
