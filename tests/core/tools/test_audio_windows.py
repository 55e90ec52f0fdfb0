from itertools import pairwise

import numpy as np
import pytest
from amrbench.tools.windows import OVERLAP, SAME, merged, overlaps, windows_of


@pytest.mark.parametrize("rows", [1, 7, 99, 100, 101, 130, 175, 176, 1000, 12345])
def test_windows_cover_everything_and_their_zones_lie_side_by_side(rows):
    windows = windows_of(rows, 100)
    assert windows[0].start == 0
    assert windows[-1].stop == rows
    assert all(0 < each.stop - each.start <= 100 for each in windows)
    assert len(windows) == 1 or all(each.stop - each.start == 100 for each in windows)
    for one, other in pairwise(windows):
        assert one.start < other.start
        assert one.stop - other.start >= 100 * OVERLAP
        assert one.last == other.first == (one.stop + other.start) / 2
    for place in np.arange(0.5, rows):
        (owner,) = [each for each in windows if each.owns(place)]
        assert owner.start <= place < owner.stop


def test_no_more_windows_than_needed():
    assert len(windows_of(100, 100)) == 1
    assert [(each.start, each.stop) for each in windows_of(101, 100)] == [(0, 100), (1, 101)]
    assert [(each.start, each.stop) for each in windows_of(250, 100)] == [(0, 100), (75, 175), (150, 250)]


def test_a_limit_of_one_row_is_a_window_for_each():
    assert [(each.start, each.stop) for each in windows_of(3, 1)] == [(0, 1), (1, 2), (2, 3)]


def merged_by_hand(tables, windows, hop):
    """Best first; each moment is compared with each that was kept."""
    every = []
    for number, (table, window) in enumerate(zip(tables, windows, strict=True)):
        for start, end, score in table:
            if window.first <= (start + end) / 2 / hop < window.last:
                every.append((score, number, start, end))
    kept = []
    for score, number, start, end in sorted(every, key=lambda each: -each[0]):
        same = False
        for _, other, first, last in kept:
            met = max(0, min(end, last) - max(start, first))
            same |= other != number and met / (end - start + last - first - met) >= SAME
        if not same:
            kept.append((score, number, start, end))
    return np.array([[start, end, score] for score, _, start, end in kept])


@pytest.mark.parametrize("seed", range(20))
def test_merging_is_the_plain_rule(seed):
    rng = np.random.default_rng(seed)
    windows = windows_of(250, 100)
    tables = []
    for window in windows:
        start = rng.uniform(window.start, window.stop, 30) * 0.5
        tables.append(np.column_stack([start, start + rng.uniform(1, 20, 30), rng.random(30)]))
    np.testing.assert_array_equal(merged(tables, windows, 0.5), merged_by_hand(tables, windows, 0.5))


def test_moments_of_one_window_are_left_alone():
    table = np.array([[1.0, 5.0, 0.9], [1.0, 5.0, 0.8], [2.0, 3.0, 0.7]])
    assert np.array_equal(merged([table], windows_of(60, 100), 1.0), table)


def test_overlaps():
    moments = np.array([[0.0, 10.0, 1], [20.0, 30.0, 1], [5.0, 15.0, 1]])
    np.testing.assert_allclose(overlaps(moments, np.array([0.0, 10.0, 0])), [1, 0, 1 / 3])
