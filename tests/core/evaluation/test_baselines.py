from __future__ import annotations

import pytest

from amrbench.evaluation.baselines import baseline_predictions, fixed_window, whole_recording
from amrbench.functional.metrics import score
from amrbench.types import Query
from tests.oracle.reference_predictions import published


def query(duration: float) -> Query:
    return Query("a", "a sentence", "v", duration, ((0.0, 10.0),))


def test_windows_are_clipped_to_the_recording() -> None:
    assert [m.windows.tolist() for m in fixed_window([query(60.0), query(4.0)], 2.0, 10.0)] == [
        [[2, 10]],
        [[2, 4]],
    ]
    assert fixed_window([query(1.0)], 2.0, 10.0)[0].windows.tolist() == [[1, 1]]
    assert whole_recording([query(4.5)])[0].windows.tolist() == [[0, 4.5]]


def test_predictions_name_query_and_recording() -> None:
    moments = whole_recording([query(60.0)])[0]
    assert (moments.qid, moments.vid, moments.scores) == ("a", "v", None)


@pytest.mark.parametrize(("start", "end"), [(-1.0, 5.0), (6.0, 5.0), (0.0, float("nan"))])
def test_an_impossible_window_is_a_programming_error(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="not a window inside a recording"):
        fixed_window([query(60.0)], start, end)


def test_baselines_reach_what_was_measured_on_castella_test() -> None:
    truth = published("castella_test_unrounded").truth
    metrics = {name: score(moments, truth).metrics for name, moments in baseline_predictions(truth).items()}
    recalls = {name: (f"{m['R1@0.5']:.2f}", f"{m['R1@0.7']:.2f}") for name, m in metrics.items()}
    assert recalls == {"always 0-10 s": ("7.80", "3.64"), "whole recording": ("4.31", "2.15")}
