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
