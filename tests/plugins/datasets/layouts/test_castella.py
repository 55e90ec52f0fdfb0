"""Scenes have the statistics of CASTELLA: layouts alone, against figures of its annotations.

The figures are those that `amrbench data statistics castella` prints for the released files.
"""

from functools import cache

import numpy as np
import pytest

from amrbench.tools.annotation_statistics import Summary, annotation_statistics
from amrbench_plugins.datasets.procedural import planning
from amrbench_plugins.datasets.procedural.presets import PRESETS

FIGURES = {
    "train": {
        "seconds": Summary(88.5, 299, 300, 266.9),
        "widths": Summary(1, 4, 38, 10.36),
        "windows": Summary(1, 2, 9, 2.82),
        "covered": Summary(0.667, 4.33, 49.5, 11.1),
    },
    "test": {
        "seconds": Summary(68.2, 230, 300, 210.6),
        "widths": Summary(1, 4, 41.5, 10.8),
        "windows": Summary(1, 2, 10, 3.10),
        "covered": Summary(0.67, 7.14, 63.0, 16.1),
    },
}


@cache
def statistics(split, seed=0, preset="scenes"):
    chosen = PRESETS[preset]
    plans = [planning.plan(chosen, split, index, seed=seed) for index in range(chosen.splits[split])]
    return annotation_statistics("scenes", [query for scene in plans for query in scene.queries])


@pytest.mark.parametrize("measure", FIGURES["test"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_scenes_have_the_statistics_of_castella(split, measure):
    ours, theirs = getattr(statistics(split), measure), FIGURES[split][measure]
    assert ours.median == pytest.approx(theirs.median, rel=0.1)
    assert ours.mean == pytest.approx(theirs.mean, rel=0.1)
    assert ours.p5 == pytest.approx(theirs.p5, rel=0.2)
    assert ours.p95 == pytest.approx(theirs.p95, rel=0.2)


@pytest.mark.parametrize("measure", FIGURES["test"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_other_seeds_have_them_on_average(split, measure):
    ours = [getattr(statistics(split, seed), measure) for seed in range(4)]
    theirs = FIGURES[split][measure]
    assert np.mean([one.mean for one in ours]) == pytest.approx(theirs.mean, rel=0.1)
    assert np.mean([one.median for one in ours]) == pytest.approx(theirs.median, rel=0.1)
    assert np.mean([one.p95 for one in ours]) == pytest.approx(theirs.p95, rel=0.2)


def test_what_was_not_fitted_is_near_too():
    for split, shared in (("train", 10.8), ("test", 13.9)):
        shares = statistics(split).shares
        assert shares["whole seconds, %"] == 100
        assert shares["shared, %"] == pytest.approx(shared, abs=5)
    assert statistics("train").shares["one window, %"] == pytest.approx(48.3, abs=1.5)
    assert statistics("test").shares["three or more, %"] == pytest.approx(39.3, abs=1.5)


def test_a_part_of_a_split_has_the_law_of_the_whole():
    plans = [planning.plan(PRESETS["scenes"], "test", index, seed=0) for index in range(64)]
    part = annotation_statistics("part", [query for scene in plans for query in scene.queries])
    assert part.seconds.mean == pytest.approx(statistics("test").seconds.mean, rel=0.05)
    assert part.windows.mean == pytest.approx(statistics("test").windows.mean, rel=0.1)


def test_small_scenes_are_milder():
    small, full = statistics("test", preset="scenes-small"), statistics("test")
    assert small.seconds.p95 <= 70
    assert small.widths.p95 / small.widths.p5 < full.widths.p95 / full.widths.p5 / 3
    assert 1.5 < small.windows.mean < 2
