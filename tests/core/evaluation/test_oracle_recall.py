from __future__ import annotations

import numpy as np
import pytest

from amrbench.evaluation.oracle_recall import grid_ceiling, grid_step, oracle_recall
from amrbench.functional.aligned_windows import align
from amrbench.functional.matched_windows import match_windows
from amrbench.functional.metrics import Metric, evaluate_aligned
from tests.core.functional.samples import moments, query
from tests.oracle.analysis_by_hand import best_on_grid
from tests.oracle.reference_predictions import published, random_sets

IOUS = (0.3, 0.5, 0.7, 0.9)


@pytest.mark.parametrize("name", ["castella_test_unrounded", "qvhighlights_val_sample"])
def test_oracle_recall_is_the_official_recall_at_k(name: str) -> None:
    case = published(name)
    windows = align(case.predictions, case.truth)
    evaluation = evaluate_aligned(windows, depth=10)
    rows = np.arange(len(windows.queries))
    for own in oracle_recall(match_windows([windows]), IOUS):
        for iou, percent in own.recall.items():
            assert percent == pytest.approx(Metric(own.k, iou).mean(evaluation, rows), abs=1e-12)


def test_the_longest_list_has_a_row_if_it_has_over_ten_moments() -> None:
    listed = [(float(start), start + 1.0) for start in range(12)]
    matched = match_windows([align([moments("a", listed)], [query("a", [(11, 12)])])])
    rows = oracle_recall(matched, (0.5,))
    assert [own.k for own in rows] == [1, 2, 3, 5, 10, 12]
    assert [own.recall[0.5] for own in rows] == [0, 0, 0, 0, 0, 100]
    assert [own.overlap for own in rows] == [0, 0, 0, 0, 0, 100]


@pytest.mark.parametrize("step", [1.0, 2.0, 5.0, 0.7])
def test_the_ceiling_of_a_grid_is_that_of_trying_all_its_windows(step: float) -> None:
    case = random_sets()[0]
    few = [own for own in case.truth if all(end <= 60 for _, end in own.windows)][:60]
    kept = {own.qid for own in few}
    windows = align([own for own in case.predictions if own.qid in kept], few)
    ceiling = grid_ceiling(windows.truth, step, IOUS)
    best = np.array([best_on_grid(own, step) for own in windows.queries])
    assert ceiling.overlap == pytest.approx(100 * best.mean(), abs=1e-9)
    assert ceiling.recall == pytest.approx({iou: 100 * (best >= iou).mean() for iou in IOUS})


def test_windows_of_whole_seconds_lose_nothing_on_a_grid_of_seconds() -> None:
    case = published("castella_test_unrounded")
    windows = align(case.predictions, case.truth)
    assert grid_ceiling(windows.truth, 1.0, (1.0,)).recall == {1.0: 100.0}


def test_a_window_inside_of_one_step_is_met_by_the_whole_step() -> None:
    truth = align([moments("a", [])], [query("a", [(12, 13)])]).truth
    ceiling = grid_ceiling(truth, 5.0, (0.2, 0.5))
    assert ceiling.overlap == pytest.approx(20)
    assert ceiling.recall == {0.2: 100, 0.5: 0}


@pytest.mark.parametrize(
    ("starts", "step"),
    [
        ([0, 10, 30], 10),
        ([4, 6], 2),
        ([3, 7], 1),
        ([0.5, 3], 0.5),
        ([0.3, 1.1], 0.1),
        ([0.1234], 0),
        ([0, 0], 0),
    ],
)
def test_the_step_of_predictions_is_the_largest_that_fits_their_starts(
    starts: list[float], step: float
) -> None:
    listed = [(float(start), 61.7) for start in starts]
    matched = match_windows([align([moments("a", listed)], [query("a", [(0, 1)])])])
    assert grid_step(matched) == step
