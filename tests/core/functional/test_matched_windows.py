from __future__ import annotations

import numpy as np
import pytest

from amrbench.functional.aligned_windows import align
from amrbench.functional.matched_windows import match_windows
from amrbench.functional.metrics import evaluate_aligned
from amrbench.functional.official_evaluator import BLOCK
from tests.core.functional.samples import moments, query
from tests.oracle import analysis_by_hand
from tests.oracle.reference_predictions import Case, published, random_sets

CASES = [*random_sets(), published("castella_test_unrounded")]


@pytest.mark.parametrize("case", CASES, ids=["random 1", "random 2", "castella"])
def test_matches_are_those_found_one_query_after_another(case: Case) -> None:
    windows = align(case.predictions, case.truth)
    matched = match_windows([windows])
    given = {str(own.qid): own for own in case.predictions}
    for row, own in enumerate(windows.queries):
        for position, listed in enumerate(given[str(own.qid)].windows.tolist()):
            index = matched.listed.offsets[row] + position
            target = analysis_by_hand.nearest(listed, own)
            assert (matched.target[index] >= 0) == (target is not None)
            assert matched.overlap[index] == pytest.approx(analysis_by_hand.overlap(listed, own), abs=1e-12)
            if target is not None:
                assert tuple(matched.truth.values[matched.target[index]]) == target
    for k in (1, 3, 30):
        for row, own in enumerate(windows.queries):
            best, known = matched.best(k)[row], analysis_by_hand.best_of(given[str(own.qid)], own, k)
            if known is None:
                assert best == -1
            else:
                assert matched.listed.values[best, :2].tolist() == list(known[0])


@pytest.mark.parametrize("case", CASES, ids=["random 1", "random 2", "castella"])
def test_the_best_overlap_is_that_of_recall(case: Case) -> None:
    windows = align(case.predictions, case.truth)
    overlap = evaluate_aligned(windows, depth=10).overlap
    for k in (1, 2, 5, 10):
        known = overlap[:, min(k, overlap.shape[1]) - 1]
        np.testing.assert_array_equal(match_windows([windows]).best_overlap(k), known)


def test_models_are_laid_out_one_after_another() -> None:
    truth = [query("a", [(0, 4)]), query("b", [(10, 14), (20, 22)])]
    one = align([moments("a", [(0, 2)]), moments("b", [(20, 21), (50, 51)])], truth)
    two = align([moments("a", []), moments("b", [(11, 14)])], truth)
    matched = match_windows([one, two])
    assert matched.queries == 4
    assert matched.target.tolist() == [0, 2, -1, 4]
    assert matched.overlap.tolist() == [0.5, 0.5, 0, 0.75]
    assert matched.best(5).tolist() == [0, 1, -1, 3]
    assert matched.best_overlap(5).tolist() == [0.5, 0.5, 0, 0.75]


def test_many_queries_are_matched_in_blocks() -> None:
    truth = [query(number, [(number % 7, number % 7 + 10)]) for number in range(BLOCK + 3)]
    windows = align([moments(number, [(0, 10)]) for number in range(BLOCK + 3)], truth)
    matched = match_windows([windows])
    assert matched.target.tolist() == list(range(BLOCK + 3))
    assert matched.best_overlap(1).tolist() == [(10 - n % 7) / (10 + n % 7) for n in range(BLOCK + 3)]


def test_lists_without_windows_match_nothing() -> None:
    matched = match_windows([align([moments("a", [])], [query("a", [(0, 1)])])])
    assert matched.best(5).tolist() == [-1]
    assert matched.best_overlap(5).tolist() == [0]
