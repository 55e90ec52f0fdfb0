"""The level of a sound while it lasts, and the mix."""

import numpy as np
import pytest

from amrbench_plugins.datasets.layouts.laws import Bounds, Changes
from amrbench_plugins.datasets.layouts.levels import (
    FULL_SCALE,
    STEP,
    at_level,
    level_curve,
    mixed,
    straight_lines,
    with_changes,
)

NONE = Changes(Bounds(0, 0), 0.0, 0.0)


def test_straight_lines_are_those_of_interpolation():
    values = np.random.default_rng(0).normal(size=9)
    expected = np.interp(np.arange(8 * 50) / 50, np.arange(9), values)
    np.testing.assert_allclose(straight_lines(values, 50), expected, atol=1e-6)


def test_without_changes_the_level_is_constant():
    assert not level_curve(np.random.default_rng(0), NONE, 7.3).any()
    signal = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    np.testing.assert_allclose(with_changes(np.random.default_rng(1), signal, NONE, rate=16000), signal)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 7.3, 60.0])
def test_a_curve_reaches_to_the_end_of_the_sound(seconds):
    level = level_curve(np.random.default_rng(0), Changes(Bounds(4, 12), 2.0, 0.1), seconds)
    assert seconds <= (len(level) - 1) * STEP < seconds + STEP + 1e-9


def test_a_sound_rises_at_its_start_and_falls_at_its_end():
    for seed in range(20):
        level = level_curve(np.random.default_rng(seed), Changes(Bounds(6, 16), 0.0, 0.0), 10.0)
        assert -16 <= level[0] <= -6
        assert -16 <= level[-1] <= -6
        assert level[100] == 0
        assert (np.diff(level[:100]) >= 0).all()
        assert (np.diff(level[100:]) <= 0).all()


def test_slow_changes_have_their_deviation():
    curves = [level_curve(np.random.default_rng(n), Changes(Bounds(0, 0), 3.0, 0.0), 30.0) for n in range(50)]
    knots = np.concatenate([curve[:: round(30 / 21 / STEP)] for curve in curves])
    assert 2.2 < knots.std() < 3.2


def test_pauses_come_at_their_rate_and_are_short():
    changes = Changes(Bounds(0, 0), 0.0, 0.02)  # so few that they hardly overlap
    pauses = []
    for seed in range(200):
        quiet = level_curve(np.random.default_rng(seed), changes, 40.0) < -30
        edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]])))
        pauses += list((edges[1::2] - edges[::2]) * STEP)
    assert len(pauses) / 200 == pytest.approx(0.02 * 40, rel=0.2)
    assert min(pauses) > 0.2
    assert max(pauses) < 1.7


def test_sounds_of_a_second_have_no_pause():
    curves = [level_curve(np.random.default_rng(n), Changes(Bounds(0, 0), 0.0, 5.0), 1.0) for n in range(20)]
    assert not any((curve < -30).any() for curve in curves)


def test_levels_are_root_mean_squares_in_decibels():
    signal = at_level(np.random.default_rng(0).normal(size=1000).astype(np.float32), -20.0)
    assert np.sqrt(np.mean(signal**2)) == pytest.approx(0.1, rel=1e-4)
    assert not at_level(np.zeros(10, np.float32), -20.0).any()


def test_events_are_added_from_their_first_sample_and_cut_at_the_end():
    background = np.full(6, 0.1, np.float32)
    mix = mixed(background, [(1, np.array([0.2, 0.3], np.float32)), (5, np.array([0.4, 9.0], np.float32))])
    np.testing.assert_allclose(mix, [0.1, 0.3, 0.4, 0.1, 0.1, 0.5], atol=1e-6)
    assert background.max() == np.float32(0.1)


def test_a_mix_that_is_too_loud_is_turned_down_as_a_whole():
    mix = mixed(
        np.array([0.5, 1.0], np.float32), [(0, np.array([0.5], np.float32)), (1, np.ones(1, np.float32))]
    )
    np.testing.assert_allclose(mix, [FULL_SCALE / 2, FULL_SCALE], atol=1e-6)
    assert not mixed(np.zeros(3, np.float32), []).any()
