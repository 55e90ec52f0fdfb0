from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from amrbench.evaluation.moment_errors import ErrorSummary, MomentErrors, moment_errors, signed_errors
from amrbench.functional.aligned_windows import align
from amrbench.functional.matched_windows import match_windows
from tests.core.functional.samples import moments, query
from tests.oracle.analysis_by_hand import best_of
from tests.oracle.reference_predictions import Case, published, random_sets


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(
    "case", [*random_sets(), published("castella_test_unrounded")], ids=["1", "2", "real"]
)
def test_errors_are_those_found_one_query_after_another(case: Case, k: int) -> None:
    windows = align(case.predictions, case.truth)
    given = {str(own.qid): own for own in case.predictions}
    known = []
    for own in windows.queries:
        if pair := best_of(given[str(own.qid)], own, k):
            (start, end), (begin, stop) = pair
            centre, width = (start + end) / 2 - (begin + stop) / 2, (end - start) - (stop - begin)
            known.append([centre, width, 100 * centre / (stop - begin), 100 * width / (stop - begin)])
    errors = moment_errors(match_windows([windows]), k)
    assert errors.matched == pytest.approx(100 * len(known) / len(windows.queries))
    summaries = (errors.centre, errors.width, errors.centre_share, errors.width_share)
    for summary, column in zip(summaries, np.array(known).T, strict=True):
        assert summary is not None
        expected = [column.mean(), np.median(column), np.abs(column).mean(), np.median(np.abs(column))]
        assert astuple(summary) == pytest.approx(expected, abs=1e-9)


def test_errors_are_positive_for_moments_that_are_late_or_wide() -> None:
    windows = align([moments("a", [(12, 24)])], [query("a", [(10, 20)])])
    errors = moment_errors(match_windows([windows]), 1)
    assert errors.matched == 100
    assert errors.centre == ErrorSummary(3, 3, 3, 3)
    assert errors.width == ErrorSummary(2, 2, 2, 2)
    assert errors.centre_share == ErrorSummary(30, 30, 30, 30)
    assert errors.width_share == ErrorSummary(20, 20, 20, 20)


def test_signs_cancel_in_the_mean_only() -> None:
    truth = [query("a", [(10, 20)]), query("b", [(10, 20)])]
    windows = align([moments("a", [(8, 18)]), moments("b", [(12, 22)])], truth)
    errors, widths = signed_errors(match_windows([windows]), 1)
    assert errors.tolist() == [[-2, 0], [2, 0]]
    assert widths.tolist() == [10, 10]
    assert moment_errors(match_windows([windows]), 1).centre == ErrorSummary(0, 0, 2, 2)


def test_moments_without_overlap_have_no_error() -> None:
    windows = align([moments("a", [(30, 40)])], [query("a", [(10, 20)])])
    assert moment_errors(match_windows([windows]), 5) == MomentErrors(5, 0.0)
