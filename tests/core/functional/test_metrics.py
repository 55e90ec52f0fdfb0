from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from amrbench.errors import AmrbenchError, DataError
from amrbench.functional.metrics import Metric, evaluate, metrics_at, rows_by, score, score_by, score_windows
from amrbench.functional.official_evaluator import THRESHOLDS
from tests.core.functional.samples import WINDOWS, average_precisions, hits, moments, query
from tests.oracle.reference_predictions import published


@pytest.mark.parametrize(
    "metric", [*metrics_at((1, 10), (0.5, 0.75, 1.0)), Metric(9999, 0.12345678), Metric(0, 0.95)]
)
def test_a_name_is_parsed_to_the_metric_that_has_it(metric: Metric) -> None:
    assert Metric.parse(metric.name) == metric


@pytest.mark.parametrize(
    "name",
    [
        "",
        "R0@0.5",
        "R1",
        "R1@0",
        "R1@1.5",
        "R-1@0.5",
        "R10000@0.5",
        "mAP@0",
        "mAP@0.0",
        "mAP@0.6x",
        "mAP@0.62",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(AmrbenchError) as refused:
        Metric.parse(name)
    text = str(refused.value)
    assert text.startswith(f"there is no metric {name!r}.")
    assert text.endswith("Use R<k>@<IoU> such as R1@0.7, mAP, or mAP@<IoU> with 0.5, 0.55, ..., 0.95.")


def test_the_mean_of_the_values_of_queries_is_the_metric() -> None:
    case = published("castella_val_best_c2b90e2")
    evaluation = evaluate(case.predictions, case.truth)
    metrics = score(case.predictions, case.truth).metrics
    means = {name: Metric.parse(name).values(evaluation).mean() for name in metrics}
    assert means == pytest.approx(metrics, abs=1e-9)


def test_order_of_files_changes_nothing() -> None:
    case = published("castella_val_best_c2b90e2")
    assert score(case.predictions[::-1], case.truth) == score(case.predictions, case.truth)
    reversed_hits = hits(case.predictions, case.truth[::-1], 1, 0.5)[::-1]
    assert reversed_hits.tolist() == hits(case.predictions, case.truth, 1, 0.5).tolist()


def test_metric_names_and_their_order() -> None:
    scores = score([moments("a", WINDOWS)], [query("a", WINDOWS)])
    assert list(scores.metrics) == ["R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP", "mAP@0.5", "mAP@0.75"]
    assert scores.queries == 1
    assert set(scores.metrics.values()) == {100.0}


def test_no_metrics_are_no_error() -> None:
    scores = score([moments("a", WINDOWS)], [query("a", WINDOWS)], metrics=())
    assert (scores.queries, scores.metrics) == (1, {})


def test_any_k_and_threshold_can_be_scored() -> None:
    listed = moments("a", [(40.0, 50.0)] * 11 + [(0.0, 9.0)])
    metrics = score([listed], [query("a", WINDOWS)], metrics=metrics_at((11, 12), (0.9, 0.95))).metrics
    assert [metrics[name] for name in ("R11@0.9", "R12@0.9", "R12@0.95")] == [0.0, 100.0, 0.0]


def test_average_precision_has_ten_thresholds() -> None:
    precisions = average_precisions([moments("a", [(0.0, 8.0)])], [query("a", WINDOWS)])
    expected = {f"mAP@{iou:g}": 100.0 * (iou <= 0.8) for iou in THRESHOLDS} | {"mAP": 70.0}
    assert precisions == pytest.approx(expected)


def test_listed_order_ranks_windows_without_scores() -> None:
    truth = [query("a", WINDOWS)]
    windows = [(20.0, 30.0), (0.0, 10.0)]
    bare = score([moments("a", windows)], truth)
    assert bare == score([moments("a", windows, [0.9, 0.1])], truth)
    assert bare.metrics["mAP"] == 50.0


def test_ids_are_compared_as_text() -> None:
    assert score([moments("7", WINDOWS)], [query(7, WINDOWS)]).queries == 1
    with pytest.raises(DataError, match="more than one entry for '7'"):
        score([moments("7", WINDOWS), moments(7, WINDOWS)], [query(7, WINDOWS)])


def test_partial_scores_what_both_sides_have_and_counts_the_rest() -> None:
    truth = [query("a", WINDOWS), query("b", WINDOWS), query("c", [(1.0, 1.0)])]
    predictions = [moments("a", WINDOWS), moments("c", WINDOWS), moments("x", WINDOWS), moments("y", WINDOWS)]
    scores = score(predictions, truth, partial=True)
    assert (scores.queries, scores.missing, scores.extra, scores.unanswerable) == (1, 1, 2, 1)
    assert hits(predictions, truth, 1, 0.5, partial=True).tolist() == [True]


def test_missing_and_extra_ids_are_reported_together() -> None:
    truth = [query(f"q{number}", WINDOWS) for number in range(9)]
    predictions = [moments("q0", WINDOWS), moments("other", WINDOWS)]
    with pytest.raises(DataError) as refused:
        score(predictions, truth)
    assert str(refused.value) == (
        "8 of 9 queries have no prediction: 'q1', 'q2', 'q3', 'q4', 'q5' and 3 more; "
        "1 predictions belong to no annotated query: 'other'. "
        "Give one line for each query, or score the common ones ('amrbench score --partial')."
    )


@pytest.mark.parametrize("partial", [False, True])
def test_predictions_about_other_recordings_are_refused_with_both_names(partial: bool) -> None:
    truth = [replace(query(qid, WINDOWS), vid=f"test_{qid}") for qid in (1, 2, 3)]
    predictions = [replace(moments(str(qid), WINDOWS), vid=f"val_{qid}") for qid in (2, 1)]
    with pytest.raises(DataError) as refused:
        score([*predictions, replace(moments("3", WINDOWS), vid="test_3")], truth, partial=partial)
    assert str(refused.value) == (
        "2 of 3 predictions are about other recordings than the queries with their ids: the prediction for "
        "'1' is about 'val_1', the query about 'test_1'. Ids may start again in each split; give the "
        "predictions for these annotations, with the ids of recordings as they are there."
    )


def test_ids_of_recordings_may_be_composed_or_decomposed() -> None:
    truth, predictions = replace(query("1", WINDOWS), vid="caf\u00e9"), moments("1", WINDOWS)
    assert score([replace(predictions, vid="cafe\u0301")], [truth]).queries == 1


def test_files_without_a_common_query_are_refused() -> None:
    with pytest.raises(DataError, match="no query in common. Check that they belong together"):
        score([moments("x", WINDOWS)], [query("a", WINDOWS)], partial=True)


def test_annotations_without_windows_are_refused() -> None:
    with pytest.raises(
        DataError, match="none of the 1 queries has a window longer than 0 s and at most 1500 s"
    ):
        score([moments("a", WINDOWS)], [query("a", [])])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    truth = [query("a", WINDOWS), query("b", WINDOWS)]
    sound = moments("a", WINDOWS, [0.5])
    for wrong in (moments("b", [(0.0, bad)], [0.5]), moments("b", WINDOWS, [bad])):
        with pytest.raises(DataError, match="predicted windows of 'b' are not finite"):
            score([sound, wrong], truth)
    with pytest.raises(DataError, match="annotated windows of 'b' are not finite"):
        score([sound, moments("b", WINDOWS)], [truth[0], query("b", [(0.0, bad)])])


def test_reversed_windows_are_refused_at_any_rank_and_side() -> None:
    late = moments("a", [(0.0, 1.0)] * 20 + [(5.0, 4.0)])
    with pytest.raises(DataError, match="predicted windows of 'a' end before they start"):
        score([late], [query("a", WINDOWS)])
    with pytest.raises(DataError, match="annotated windows of 'a' end before they start"):
        score([moments("a", WINDOWS)], [query("a", [(5.0, 4.0)])])


@pytest.mark.parametrize("k", [0, -1])
def test_senseless_k_is_refused(k: int) -> None:
    with pytest.raises(AmrbenchError, match=f"k = {k} makes no sense; give a whole number from 1 on"):
        metrics_at(ks=(1, k))


@pytest.mark.parametrize("iou", [0.0, 1.5, float("nan")])
def test_senseless_threshold_is_refused(iou: float) -> None:
    with pytest.raises(AmrbenchError, match=f"threshold {iou} makes no sense; give a number above 0"):
        metrics_at(ious=[iou])


def test_recall_beyond_the_evaluated_depth_is_a_programming_error() -> None:
    evaluation = evaluate([moments("a", WINDOWS)], [query("a", WINDOWS)], depth=3)
    with pytest.raises(ValueError, match="evaluated for k up to 3, asked for 4"):
        evaluation.hits(4, 0.5)


def test_groups_average_over_their_own_queries() -> None:
    truth = [
        query("a", WINDOWS, kind="single"),
        query("b", WINDOWS, kind="composite"),
        query("c", WINDOWS, kind="single"),
        query("d", WINDOWS),
        query("e", WINDOWS, kind=2),
    ]
    predictions = [
        moments(one.qid, [(0.0, 10.0) if one.qid in ("a", "b") else (20.0, 30.0)]) for one in truth
    ]
    groups = score_by(predictions, truth, "kind")
    assert {label: (group.queries, group.metrics["R1@0.5"]) for label, group in groups.items()} == {
        "single": (2, 50.0),
        "composite": (1, 100.0),
        "(none)": (1, 0.0),
        "2": (1, 0.0),
    }


def test_groups_have_any_metric_and_may_be_partial() -> None:
    truth = [query("a", WINDOWS, kind="x"), query("b", WINDOWS, kind="y")]
    listed = moments("a", [(40.0, 50.0)] * 11 + [(0.0, 10.0)])
    groups = score_by([listed], truth, "kind", metrics=metrics_at((11, 12), (0.5,)), partial=True)
    assert {label: group.queries for label, group in groups.items()} == {"x": 1}
    assert [groups["x"].metrics[name] for name in ("R11@0.5", "R12@0.5")] == [0.0, 100.0]


def test_text_and_other_values_of_the_same_name_are_apart() -> None:
    values = ["1", 1, '"1"', "true", True, "(none)", "plain", "1"]
    truth = [
        *(query(f"{index}", WINDOWS, kind=value) for index, value in enumerate(values)),
        query("none", WINDOWS),
    ]
    assert {label: rows.tolist() for label, rows in rows_by(truth, "kind").items()} == {
        r'"\"1\""': [0, 7],
        "1": [1],
        '"1"': [2],
        '"true"': [3],
        "true": [4],
        '"(none)"': [5],
        "plain": [6],
        "(none)": [8],
    }
    assert list(rows_by(truth[:1], "kind")) == ["1"]
    assert list(rows_by(truth[5:6], "kind")) == ["(none)"]


def test_groups_equal_scoring_their_queries_alone() -> None:
    case = published("castella_val_best_c2b90e2")
    truth = [replace(one, extra={"long": one.duration > 100}) for one in case.truth]
    for label, group in score_by(case.predictions, truth, "long").items():
        alone = [one for one in truth if one.extra["long"] == (label == "true")]
        assert group == score([m for m in case.predictions if m.qid in {q.qid for q in alone}], alone)


def test_an_unknown_key_of_groups_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError) as refused:
        score_by([moments("a", WINDOWS)], [query("a", WINDOWS, kind="x", twin=1)], "kin")
    assert str(refused.value) == "no query has the key 'kin'; they have 'kind', 'twin'. Did you mean 'kind'?"
    with pytest.raises(DataError, match="no query has the key 'kind'; they have no additional keys"):
        score_by([moments("a", WINDOWS)], [query("a", WINDOWS)], "kind")


def test_one_window_for_each_query_scores_as_its_moments_do() -> None:
    truth = [*published("castella_val_best_c2b90e2").truth, query("none", [(3.0, 3.0)])]
    ends = np.array([asked.duration for asked in truth])
    tables = {
        name: np.column_stack([0 * ends, share * ends]) for name, share in (("all", 1.0), ("half", 0.5))
    }
    for metrics in (metrics_at((1, 3), (0.5, 0.7)), ()):
        scores = score_windows(tables, truth, metrics=metrics)
        for name, table in tables.items():
            listed = [
                replace(moments(str(asked.qid), [window]), vid=asked.vid, scores=None)
                for asked, window in zip(truth, table.tolist(), strict=True)
            ]
            assert scores[name] == score(listed, truth, metrics=metrics)
    assert scores["all"].unanswerable == 1


def test_windows_for_queries_without_usable_windows_are_refused() -> None:
    with pytest.raises(DataError) as refused:
        score_windows({"all": np.array([[0.0, 1.0]])}, [query("a", [(3.0, 3.0)])])
    assert str(refused.value) == (
        "none of the 1 queries has a window longer than 0 s and at most 1500 s to score by."
    )
