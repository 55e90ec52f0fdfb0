from __future__ import annotations

import numpy as np
import pytest

from amrbench.evaluation.calibration import are_probabilities, calibration
from amrbench.functional.aligned_windows import align
from amrbench.functional.matched_windows import match_windows
from amrbench.types import Moments
from tests.core.functional.samples import moments, query
from tests.oracle import analysis_by_hand
from tests.oracle.reference_predictions import published

TRUTH = [query(number, [(0, 10)]) for number in range(4)]


def answers(scores: list[float], right: list[bool]) -> list[Moments]:
    return [
        moments(number, [(0.0, 10.0) if hit else (30.0, 40.0)], [score])
        for number, (score, hit) in enumerate(zip(scores, right, strict=True))
    ]


@pytest.mark.parametrize("k", [1, 10])
@pytest.mark.parametrize("name", ["castella_test_unrounded", "castella_val_best_c2b90e2"])
def test_the_error_is_that_computed_one_moment_after_another(name: str, k: int) -> None:
    case = published(name)
    windows = align(case.predictions, case.truth)
    assert are_probabilities([windows])
    found = calibration(match_windows([windows]), k, 0.5)
    given = {str(own.qid): own for own in case.predictions}
    scored = [
        (score, analysis_by_hand.overlap(window, own) >= 0.5)
        for own in windows.queries
        for window, score in zip(
            given[str(own.qid)].windows[:k].tolist(), given[str(own.qid)].scores.tolist(), strict=False
        )
    ]
    assert found.moments == len(scored)
    assert found.error == pytest.approx(analysis_by_hand.calibration_error(scored))
    assert found.score == pytest.approx(np.mean([score for score, _ in scored]))
    assert found.right == pytest.approx(np.mean([right for _, right in scored]))
    assert sum(own.moments for own in found.bins) == len(scored)


def test_scores_that_say_how_often_they_are_right_have_no_error() -> None:
    windows = align(answers([0.25] * 4, [True, False, False, False]), TRUTH)
    assert calibration(match_windows([windows]), 1, 0.5).error == 0


def test_bins_begin_at_their_lower_edge_and_the_last_one_holds_one() -> None:
    windows = align(answers([0.3, 0.29, 1.0, 0.9], [True, False, True, False]), TRUTH)
    found = calibration(match_windows([windows]), 1, 0.5)
    assert [own.moments for own in found.bins] == [0, 0, 1, 1, 0, 0, 0, 0, 0, 2]
    assert [own.right for own in found.bins] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0.5]
    assert (found.bins[3].low, found.bins[3].high, found.bins[3].score) == (0.3, 0.4, 0.3)
    assert found.error == pytest.approx((0.7 + 0.29 + 0.9) / 4)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([[0.0], [1.0]], True),
        ([[0.5], [1.01]], False),
        ([[0.5], [-0.01]], False),
        ([[0.5], None], False),
    ],
)
def test_only_scores_from_zero_to_one_are_probabilities(
    listed: list[list[float] | None], expected: bool
) -> None:
    predictions = [moments(number, [(0, 1)], scores) for number, scores in enumerate(listed)]
    assert are_probabilities([align(predictions, TRUTH[:2])]) is expected


def test_nothing_listed_has_no_probabilities() -> None:
    assert not are_probabilities([align([moments(0, [])], TRUTH[:1])])
