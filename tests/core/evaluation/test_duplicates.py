from __future__ import annotations

import numpy as np
import pytest

from amrbench.evaluation.duplicates import Duplicates, duplicates
from amrbench.functional.aligned_windows import align
from amrbench.functional.matched_windows import match_windows
from amrbench.functional.official_evaluator import BLOCK
from tests.core.functional.samples import moments, query
from tests.oracle import analysis_by_hand
from tests.oracle.reference_predictions import Case, published, random_sets


@pytest.mark.parametrize("iou", [0.3, 0.7])
@pytest.mark.parametrize(
    "case", [*random_sets(), published("castella_test_unrounded")], ids=["1", "2", "real"]
)
def test_duplicates_are_those_found_one_pair_after_another(case: Case, iou: float) -> None:
    windows = align(case.predictions, case.truth)
    given = {str(own.qid): own for own in case.predictions}
    known = [analysis_by_hand.duplicates(given[str(own.qid)], 5, iou) for own in windows.queries]
    pairs, listed, distinct = np.array(known).T
    expected = Duplicates(5, iou, 100 * (pairs > 0).mean(), pairs.mean(), listed.mean(), distinct.mean())
    assert vars(duplicates(match_windows([windows]), 5, iou)) == pytest.approx(vars(expected))


def of(*listed: tuple[float, float]) -> Duplicates:
    return duplicates(match_windows([align([moments("a", list(listed))], [query("a", [(0, 1)])])]))


def test_a_moment_that_repeats_a_removed_one_is_distinct() -> None:
    assert of((0, 10), (2, 10), (4, 10)) == Duplicates(5, 0.7, 100.0, 2.0, 3.0, 2.0)


def test_moments_after_the_fifth_do_not_count() -> None:
    apart = [(20.0 * index, 20.0 * index + 5) for index in range(5)]
    assert of(*apart, apart[0]) == Duplicates(5, 0.7, 0.0, 0.0, 5.0, 5.0)


def test_equal_points_are_duplicates_and_missing_moments_are_not() -> None:
    assert of((3, 3), (3, 3), (0, 0)) == Duplicates(5, 0.7, 100.0, 1.0, 3.0, 2.0)
    assert of() == Duplicates(5, 0.7, 0.0, 0.0, 0.0, 0.0)


def test_many_queries_are_counted_in_blocks() -> None:
    truth = [query(number, [(0, 1)]) for number in range(BLOCK + 2)]
    listed = [moments(number, [(0, 9), (0, 10)]) for number in range(BLOCK + 2)]
    assert duplicates(match_windows([align(listed, truth)])) == Duplicates(5, 0.7, 100.0, 1.0, 2.0, 1.0)
