"""Random numbers by key, and points that are stratified from the first on."""

import numpy as np
import pytest

from amrbench_plugins.datasets.layouts.streams import even_point, stream


def points(count, dimensions, key=(0, 1)):
    return np.array([even_point(key, number, dimensions) for number in range(count)])


def test_a_stream_depends_on_key_and_stage_alone():
    draws = [stream((1, 2), 3).random(), stream((1, 2), 3).random(), stream((1, 2), 4).random()]
    assert draws[0] == draws[1] != draws[2]


def test_points_do_not_depend_on_what_was_asked_for_before():
    forwards = points(70, 3)
    backwards = [even_point((0, 1), number, 3) for number in reversed(range(70))]
    assert np.array_equal(forwards, backwards[::-1])


def test_each_number_and_key_has_its_own_point():
    both = np.concatenate([points(64, 2), points(64, 2, key=(0, 2))])
    assert len(np.unique(both, axis=0)) == 128
    assert both.min() >= 0
    assert both.max() < 1


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("count", [32, 96, 480])
def test_every_coordinate_fills_its_range_evenly(dimensions, count):
    for column in points(count, dimensions).T:
        share = np.arange(1, count + 1) / count
        gap = np.abs(np.sort(column) - share).max()
        assert gap < 4 / count + 0.03  # random numbers: about 1 / sqrt(count)


def test_pairs_of_coordinates_fill_the_square_evenly():
    found, _, _ = np.histogram2d(*points(480, 3).T[:2], bins=4, range=[[0, 1], [0, 1]])
    assert np.abs(found - 30).max() <= 6


def test_steps_are_powers_of_the_root_that_a_solver_finds():
    for dimensions in (1, 2, 3):
        polynomial = [1, *[0] * (dimensions - 1), -1, -1]
        root = max(float(each.real) for each in np.roots(polynomial) if abs(each.imag) < 1e-9)
        block = points(32, dimensions)
        steps = np.array([root**-power for power in range(1, dimensions + 1)])
        differences = {tuple(np.round((b - a) % 1, 6) % 1) for a in block for b in block}
        assert tuple(np.round(steps, 6)) in differences


def test_neighbours_in_number_are_no_neighbours_in_value():
    column = points(320, 1)[:, 0]
    assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.15
