"""Cutting, levelling and mixing of sounds."""

import numpy as np
import pytest

from amrbench_plugins.datasets.corpora import sound
from tests.plugins.datasets.corpora import small_corpora as corpora


def test_the_audible_range_of_a_sound():
    start, end = sound.audible_range(corpora.tone(2.0, 440, silence=1.0).astype(np.float32), 8000)
    assert (start / 8000, end / 8000) == pytest.approx((0.95, 3.05), abs=0.03)
    assert sound.audible_range(np.zeros(8000, np.float32), 8000) == (0, 0)
    assert sound.audible_range(corpora.tone(2.0, 440).astype(np.float32), 8000) == (0, 16000), (
        "all of a sound of constant level"
    )
    assert sound.audible_range(np.ones(10, np.float32), 8000) == (0, 0), "shorter than a frame"


def test_the_loudest_part():
    wave = np.r_[np.zeros(50), np.ones(10), np.zeros(40)].astype(np.float32)
    assert sound.loudest_start(wave, 10) == 50


@pytest.mark.parametrize(("length", "offset"), [(500, 0), (999, 300), (3000, 950), (400, 999)])
def test_a_background_is_looped_without_a_jump(length, offset):
    wave = np.sin(2 * np.pi * 5 * np.arange(1000) / 1000).astype(np.float32)
    piece = sound.loop_from(wave, offset, length, fade=100)
    assert len(piece) == length
    assert np.abs(np.diff(piece)).max() < 0.1


def test_all_of_a_mixture_that_is_too_loud_is_turned_down():
    wave = np.array([0.5, -2.0], np.float32)
    limited, gain = sound.limit_peak(wave)
    assert np.abs(limited).max() == pytest.approx(0.97)
    assert limited[0] / limited[1] == pytest.approx(-0.25)
    assert gain == pytest.approx(20 * np.log10(0.97 / 2))
    assert sound.limit_peak(wave / 4)[1] == 0
