from __future__ import annotations

import pytest

from amrbench.evaluation.baselines import baseline_predictions, weak_rows
from amrbench.evaluation.result import Kind, Row
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


def row(member: str, kind: Kind, value: float, **metrics: float) -> Row:
    values = {"R1@0.7": value, **metrics}
    return Row(member=member, kind=kind, split="test", queries=3, metrics=values)


PRIORS = [row("always 0-10 s", "prior", 2.0), row("whole recording", "prior", 1.0)]


@pytest.mark.parametrize(
    ("rows", "metric", "sentence"),
    [
        ([row("seed 0", "seed", 2.1), *PRIORS], "R1@0.7", ""),
        ([row("seed 0", "seed", 2.0), *PRIORS[:0]], "R1@0.7", ""),
        (
            [row("seed 0", "seed", 2.0), row("seed 1", "seed", 3.0), row("soup", "soup", 1.0), *PRIORS],
            "R1@0.7",
            "models that score no higher at R1@0.7 than the row 'always 0-10 s' (2.00), which ignores audio "
            "and text: 'seed 0' (2.00), 'soup' (1.00). The training was too short, or failed.",
        ),
        (
            [row("seed 0", "seed", 2.5, mAP=1.0), row("always 0-10 s", "prior", 2.0, mAP=1.5)],
            "mAP",
            "models that score no higher at mAP than the row 'always 0-10 s' (1.50), which ignores audio and "
            "text: 'seed 0' (1.00). The training was too short, or failed.",
        ),
        ([row("seed 0", "seed", 2.5), *PRIORS], "mAP@0.6", ""),  # Not in tables, so R1@0.7 counts.
        ([row("control", "control", 0.0), row("mean", "mean", 0.0), *PRIORS], "R1@0.7", ""),
    ],
)
def test_models_that_are_no_better_than_a_baseline_are_named(
    rows: list[Row], metric: str, sentence: str
) -> None:
    assert weak_rows(rows, metric) == sentence


def test_only_a_few_of_many_models_are_named() -> None:
    seeds = [row(f"seed {number}", "seed", 0.0) for number in range(25)]
    assert "'seed 2' (0.00) and 22 more. The training" in weak_rows([*seeds, *PRIORS], "R1@0.7")


def test_without_a_ground_truth_nothing_is_said() -> None:
    unscored = [one.model_copy(update={"metrics": {}}) for one in (row("seed 0", "seed", 0.0), *PRIORS)]
    assert weak_rows(unscored, "R1@0.7") == ""
