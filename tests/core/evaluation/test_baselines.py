from __future__ import annotations

from amrbench.evaluation.baselines import baseline_predictions
from amrbench.functional.metrics import score
from amrbench.types import Query
from tests.oracle.reference_predictions import published


def query(duration: float) -> Query:
    return Query("a", "a sentence", "v", duration, ((0.0, 10.0),))


def test_windows_are_clipped_to_the_recording() -> None:
    predictions = baseline_predictions([query(60.0), query(4.5)])
    windows = {name: [m.windows.tolist() for m in moments] for name, moments in predictions.items()}
    assert windows == {
        "always 0-10 s": [[[0, 10]], [[0, 4.5]]],
        "whole recording": [[[0, 60]], [[0, 4.5]]],
    }


def test_predictions_name_query_and_recording() -> None:
    (moments,) = baseline_predictions([query(60.0)])["whole recording"]
    assert (moments.qid, moments.vid, moments.scores) == ("a", "v", None)


def test_baselines_reach_what_was_measured_on_castella_test() -> None:
    truth = published("castella_test_unrounded").truth
    metrics = {name: score(moments, truth).metrics for name, moments in baseline_predictions(truth).items()}
    recalls = {name: (f"{m['R1@0.5']:.2f}", f"{m['R1@0.7']:.2f}") for name, m in metrics.items()}
    assert recalls == {"always 0-10 s": ("7.80", "3.64"), "whole recording": ("4.31", "2.15")}
