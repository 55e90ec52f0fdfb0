"""Building blocks of procedural sounds."""

import numpy as np
import pytest

from amrbench_plugins.datasets.procedural import dsp
from amrbench_plugins.datasets.procedural.dsp import RATE
from tests.plugins.datasets.procedural.plans import generator


def test_noise_has_the_spectrum_that_was_asked_for():
    signal = dsp.noise(generator(0), 4 * RATE, dsp.Band(500, 2000))
    power = np.abs(np.fft.rfft(signal)) ** 2
    grid = np.fft.rfftfreq(len(signal), 1 / RATE)
    assert power[(grid > 300) & (grid < 3300)].sum() > 0.98 * power.sum()
    assert signal.std() == pytest.approx(1, abs=1e-3)


def test_long_noise_is_joined_from_blocks_without_a_seam():
    signal = dsp.noise(generator(0), 50 * RATE, dsp.Band(500, 2000))
    assert len(signal) == 50 * RATE
    pieces = [dsp.rms(piece) for piece in signal.reshape(500, -1)]
    assert min(pieces) > 0.7
    assert max(pieces) < 1.3
    power = np.abs(np.fft.rfft(signal)) ** 2
    grid = np.fft.rfftfreq(len(signal), 1 / RATE)
    assert power[(grid > 300) & (grid < 3300)].sum() > 0.98 * power.sum()


def test_fft_lengths_are_few_and_hardly_longer():
    sizes = {dsp.fft_size(count) for count in range(1000, 400_000, 7)}
    assert len(sizes) < 120
    assert all(count <= dsp.fft_size(count) < 1.15 * count + 16 for count in range(1, 400_000, 997))


def test_a_wandering_curve_is_straight_between_its_values():
    curve = dsp.wander(generator(0), 10 * RATE, rate=2, low=0.5, high=1.5)
    assert curve.shape == (10 * RATE,)
    assert curve.min() >= 0.5
    assert curve.max() <= 1.5
    bends = np.flatnonzero(np.abs(np.diff(curve.astype(np.float64), 2)) > 1e-6) + 1
    assert set(bends % (RATE // 2)) <= {0, 1, RATE // 2 - 1}


def test_resonances_raise_the_partials_near_them():
    amplitudes = dsp.resonant(dsp.falling(20, 0.0), 100.0, (500.0, 1200.0))
    loudest = np.argsort(amplitudes)[-2:]
    assert {100 * (index + 1) for index in loudest} == {500, 1200}
    both = list(dsp.harmonics(np.full(RATE, 100.0), [amplitudes, (1.0,)]))
    assert np.array_equal(both[0], dsp.harmonic(np.full(RATE, 100.0), amplitudes))
    assert np.array_equal(both[1], dsp.tone(RATE, 100.0, (1.0,)))


def test_a_regular_sound_begins_after_it_has_faded_in():
    times = dsp.regular(generator(0), 10 * RATE, rate=2.0, jitter=0.0)
    assert times[0] == pytest.approx(0.02)
    np.testing.assert_allclose(np.diff(times), 0.5)


def test_harmonic_has_its_partials_where_they_belong():
    signal = dsp.tone(RATE, 440.0, (1.0, 0.0, 0.5))
    power = np.abs(np.fft.rfft(signal)) ** 2
    assert set(np.argsort(power)[-2:]) == {440, 1320}


def test_grains_are_at_their_times():
    times = np.array([0.1, 0.5])
    signal = dsp.grains(generator(0), RATE, times, lambda: np.ones(160, np.float32))
    on = np.flatnonzero(signal)
    assert on.tolist() == [*range(1600, 1760), *range(8000, 8160)]


def test_low_pass_halves_the_amplitude_at_its_corner():
    tone = dsp.tone(RATE, 1000.0, (1.0,))
    assert dsp.rms(dsp.low_pass(tone, 1000.0)) / dsp.rms(tone) == pytest.approx(0.5, abs=0.05)
