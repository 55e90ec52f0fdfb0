"""The moments of one query, and the windows that people write down."""

from itertools import pairwise

import numpy as np
import pytest

from amrbench_plugins.datasets.layouts.laws import Annotators, LogNormal, Widths
from amrbench_plugins.datasets.layouts.moments import arrange, draw_widths, least_gap, overlap, write_down

LAW = Widths(between=1.5, within=1.0, thinning=0.2, scaling=0.5, room=1.0)
GAP = LogNormal(14.0, 1.2)


def widths(count=1, seconds=300.0, factor=0.0, law=LAW, seed=0, median=4.0):
    rng = np.random.default_rng(seed)
    return draw_widths(rng, law, median, factor=factor, count=count, seconds=seconds)


def test_a_width_is_the_median_times_its_factors():
    law = Widths(between=1.5, within=0.0, thinning=0.5, scaling=1.0, room=1e9)
    assert widths(law=law) == pytest.approx([4])
    assert widths(law=law, factor=2.0) == pytest.approx([4 * np.exp(3)])
    assert widths(law=law, count=4) == pytest.approx([2, 2, 2, 2])
    assert widths(law=law, seconds=150.0) == pytest.approx([2])


def test_widths_have_one_factor_a_query_and_one_a_window():
    law = Widths(between=1.5, within=1.0, room=1e9, shortest=0.0)
    factors = np.random.default_rng(1).standard_normal(2000)
    logs = np.log([widths(3, 1e9, factor, law, seed) for seed, factor in enumerate(factors)])
    assert np.sqrt(logs.var(1, ddof=1).mean()) == pytest.approx(1, rel=0.05)
    assert np.sqrt(logs.mean(1).var() - 1 / 3) == pytest.approx(1.5, rel=0.05)


def test_long_windows_are_squeezed_into_the_recording():
    law = Widths(between=0.0, within=0.0, room=1.0)
    assert widths(law=law, median=300.0) == pytest.approx([150])
    assert widths(law=law, median=1e6).item() <= 300 - least_gap(1, 300)


@pytest.mark.parametrize("count", [1, 2, 5, 24])
@pytest.mark.parametrize("seconds", [50.0, 60.0, 300.0])
@pytest.mark.parametrize("factor", [-3.0, 0.0, 3.0])
def test_moments_are_inside_in_order_and_apart(count, seconds, factor):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = widths(count, seconds, factor, seed=seed)
        moments = arrange(rng, drawn, GAP, seconds=seconds)
        assert [end - start for start, end in moments] == pytest.approx(drawn.tolist())
        assert moments[0][0] >= 0
        assert moments[-1][1] <= seconds + 1e-9
        gaps = [after[0] - before[1] for before, after in pairwise(moments)]
        assert min(gaps, default=1e9) >= least_gap(count, seconds) - 1e-9


def test_crowded_moments_do_not_always_begin_at_zero():
    starts = [
        arrange(np.random.default_rng(seed), np.full(4, 9.0), GAP, seconds=60.0)[0][0] for seed in range(200)
    ]
    assert np.median(starts) > 1
    assert np.mean(np.array(starts) < 0.5) < 0.3


def test_overlap_is_counted_on_a_grid():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = (np.sort(rng.choice(100, 6, replace=False)).reshape(3, 2) for _ in range(2))
        on = [[any(a <= t < b for a, b in windows) for t in range(100)] for windows in (first, second)]
        assert overlap(first.tolist(), second.tolist()) == sum(a and b for a, b in zip(*on, strict=True))


def test_windows_are_whole_steps_around_what_people_hear():
    rng, exact = np.random.default_rng(0), Annotators(1.0, 0.0)
    assert write_down(rng, [(3.2, 3.9), (5.5, 9.0)], exact, seconds=60.0) == ((3.0, 4.0), (5.0, 9.0))
    assert write_down(rng, [(3.27, 3.91)], Annotators(0.1, 0.0), seconds=60.0) == ((3.2, 4.0),)


def test_windows_that_touch_are_one():
    exact = Annotators(1.0, 0.0)
    windows = write_down(np.random.default_rng(0), [(3.2, 4.9), (5.5, 6.5)], exact, seconds=60.0)
    assert windows == ((3.0, 7.0),)


def test_windows_never_leave_the_recording_nor_are_empty():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        moments = [(0.0, 0.1), (20.0, 20.1), (59.9, 60.0)]
        windows = write_down(rng, moments, Annotators(1.0, 2.0), seconds=60.0)
        assert all(0 <= start < end <= 60 for start, end in windows)
        assert all(before[1] < after[0] for before, after in pairwise(windows))


def test_jitter_moves_boundaries_by_its_deviation():
    rng, moments = np.random.default_rng(0), [(20.0, 40.0)] * 4000
    windows = [write_down(rng, [moment], Annotators(0.01, 0.3), seconds=60.0)[0] for moment in moments]
    assert np.std([start for start, _ in windows]) == pytest.approx(0.3, rel=0.05)
    assert np.mean([end for _, end in windows]) == pytest.approx(40, abs=0.02)
