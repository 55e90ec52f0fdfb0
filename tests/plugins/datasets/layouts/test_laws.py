"""Distributions that laws are written in."""

import numpy as np
import pytest

from amrbench_plugins.datasets.layouts.laws import Bounds, Counts, LogNormal, Quantiles


def test_quantiles_are_met_and_straight_in_between():
    law = Quantiles((10, 20, 50))
    assert [law.at(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [10, 15, 20, 35, 50]


def test_counts_have_the_shares_of_their_weights():
    law = Counts((5, 0, 3, 2))
    drawn = [law.at((index + 0.5) / 1000) for index in range(1000)]
    assert [drawn.count(number) for number in (1, 2, 3, 4, 5)] == [500, 0, 300, 200, 0]


def test_bounds_hold_what_is_drawn():
    rng = np.random.default_rng(0)
    drawn = [Bounds(-2.0, 6.0).draw(rng) for _ in range(1000)]
    assert -2 <= min(drawn) < -1.9
    assert 5.9 < max(drawn) <= 6


def test_a_log_normal_has_its_median_and_sigma():
    rng = np.random.default_rng(0)
    logs = np.log([LogNormal(8.0, 0.9).draw(rng) for _ in range(4000)])
    assert np.exp(np.median(logs)) == pytest.approx(8, rel=0.05)
    assert logs.std() == pytest.approx(0.9, rel=0.05)
