from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import AmrbenchError, DataError
from amrbench.functional.metrics import average_precisions, evaluate, hits, score, score_by
from amrbench.functional.official_evaluator import BLOCK, THRESHOLDS
from amrbench.types import Moments, Query
from tests.oracle import metrics_by_hand
from tests.oracle.reference_predictions import FILES, FOLDER, Case, edge_cases, published, random_sets

WINDOWS = [(0.0, 10.0)]
REFUSED = {
    "reversed_prediction": "predicted windows of 'a' end before they start",
    "missing_query_strict": "1 of 2 queries have no prediction: 'b'",
    "extra_query_strict": "1 predictions belong to no annotated query: 'b'",
    "duplicate_qid_in_submission": "the predictions hold more than one entry for 'a'",
    "duplicate_qid_in_gt": "the annotations hold more than one entry for 'a'",
}
ONLY_OURS = {"empty_prediction_list": 50.0, "prediction_without_score": 100.0}


def query(qid: str | int, windows: list[tuple[float, float]], **extra: object) -> Query:
    return Query(qid, "left out", "v", 60.0, tuple(windows), extra)


def moments(qid: str | int, windows: list[tuple[float, float]], scores: list[float] | None = None) -> Moments:
    table = np.array(windows, dtype=np.float64).reshape(-1, 2)
    return Moments(qid, "v", table, None if scores is None else np.array(scores, dtype=np.float64))


def two_decimals(value: float) -> float:
    return float(f"{value:.2f}")


def recall_name(name: str) -> tuple[int, float]:
    k, iou = name.removeprefix("R").split("@")
    return int(k), float(iou)


def assert_reference(case: Case, known: dict[str, dict[str, dict[str, float]]]) -> None:
    partial = not case.known.get("match_number", True)
    precisions = average_precisions(case.predictions, case.truth, partial=partial)
    found = {name.removeprefix("mAP@"): two_decimals(value) for name, value in precisions.items()}
    found["average"] = found.pop("mAP")
    assert found == known["full"]["MR-mAP"]
    recalls = {
        iou: two_decimals(100 * hits(case.predictions, case.truth, 1, float(iou), partial=partial).mean())
        for iou in known["full"]["MR-R1"]
    }
    assert recalls == known["full"]["MR-R1"]


def test_every_reference_file_is_there() -> None:
    on_disk = {path.name for path in FOLDER.iterdir() if path.suffix in (".gz", ".json")}
    answers = {"gt_castella_test.json.gz", "gt_castella_val.json.gz", "gt_qvhighlights_val.json.gz"}
    others = {"edge_cases.json", "random_stress.json.gz"}
    assert on_disk == {f"{name}.json.gz" for name in FILES} | answers | others
    assert len(edge_cases()) == 24
    assert [len(case.truth) for case in random_sets()] == [150, 150]


@pytest.mark.parametrize("name", FILES)
def test_the_21_published_numbers_come_out(name: str) -> None:
    case = published(name)
    # Some files also publish R1 at lower thresholds, which is no part of the official figures today.
    full = {
        part: {iou: value for iou, value in values.items() if iou == "average" or float(iou) >= 0.5}
        for part, values in case.known["published_metrics"]["full"].items()
        if part in ("MR-mAP", "MR-R1")
    }
    assert sum(map(len, full.values())) == 21
    assert_reference(case, {"full": full})
    assert len(case.truth) == len(case.predictions) == FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_average_precision_equals_the_reference_before_rounding(name: str) -> None:
    case = published(name)
    known = case.known["reference_unrounded"]
    found = average_precisions(case.predictions, case.truth)
    assert found["mAP"] == pytest.approx(known["mAP"], abs=1e-9)
    for iou, value in known["mAP_by_iou"].items():
        assert found[f"mAP@{iou}"] == pytest.approx(value, abs=1e-9)
    assert len(known["mAP_by_iou"]) == 10


@pytest.mark.parametrize("name", FILES)
def test_recall_hits_equal_the_brute_force_exactly(name: str) -> None:
    case = published(name)
    known = case.known["brute_recall_list_order"]
    found = {key: int(hits(case.predictions, case.truth, *recall_name(key)).sum()) for key in known}
    assert found == {key: value["hits"] for key, value in known.items()}
    assert len(known) == 15


def test_random_sets_come_out_as_the_reference_has_them() -> None:
    for case in random_sets():
        assert_reference(case, case.known["reference_metrics"])
        found = average_precisions(case.predictions, case.truth)
        assert found["mAP"] == pytest.approx(case.known["reference_unrounded"]["mAP"], abs=1e-9)
        for iou, value in case.known["reference_unrounded"]["mAP_by_iou"].items():
            assert found[f"mAP@{iou}"] == pytest.approx(value, abs=1e-9)
        for key, value in case.known["brute_recall_list_order"].items():
            assert hits(case.predictions, case.truth, *recall_name(key)).sum() == value["hits"]


@pytest.mark.parametrize("name", [name for name in edge_cases() if name not in {**REFUSED, **ONLY_OURS}])
def test_edge_cases_come_out_as_the_reference_has_them(name: str) -> None:
    case = edge_cases()[name]
    assert_reference(case, case.known["reference_metrics"])
    partial = not case.known["match_number"]
    for key, value in case.known["brute_recall_list_order"].items():
        assert hits(case.predictions, case.truth, *recall_name(key), partial=partial).sum() == value["hits"]


@pytest.mark.parametrize("name", REFUSED)
def test_edge_cases_that_hide_a_mistake_are_refused_by_name(name: str) -> None:
    case = edge_cases()[name]
    with pytest.raises(DataError, match=REFUSED[name]):
        score(case.predictions, case.truth)


@pytest.mark.parametrize("name", ONLY_OURS)
def test_edge_cases_that_stop_the_reference_are_answered(name: str) -> None:
    case = edge_cases()[name]
    assert case.known["reference_error"].startswith("IndexError")
    found = score(case.predictions, case.truth)
    assert found.metrics["mAP"] == ONLY_OURS[name]
    for key, value in case.known["brute_recall_list_order"].items():
        answer = hits(case.predictions, case.truth, *recall_name(key))
        assert (answer.sum(), len(answer)) == (value["hits"], value["total"])


# Tenths of a second on a short line: many ties, and thresholds that are met but for rounding.
tenths = st.integers(0, 12).map(lambda whole: whole / 10)
window = st.tuples(tenths, tenths).map(lambda ends: (min(ends), max(ends)))
target = window.filter(lambda ends: ends[1] > ends[0])
scored = st.tuples(window, st.sampled_from([0.1, 0.5, 0.9]))


@given(
    st.lists(
        st.tuples(st.lists(target, min_size=1, max_size=6), st.lists(scored, max_size=13), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_scores_equal_the_plain_loop(rows: list[tuple[list, list, bool]]) -> None:
    truth = [query(f"q{place}", targets) for place, (targets, _, _) in enumerate(rows)]
    predictions = [
        moments(f"q{place}", [w for w, _ in listed], [s for _, s in listed] if with_scores else None)
        for place, (_, listed, with_scores) in enumerate(rows)
    ]
    plain = metrics_by_hand.metrics(predictions, truth, ks=(1, 2, 5, 12), ious=(0.3, 0.5, 0.7))
    found = score(predictions, truth, ks=(1, 2, 5, 12), ious=(0.3, 0.5, 0.7)).metrics
    precisions = average_precisions(predictions, truth)
    assert found == pytest.approx({name: plain[name] for name in found}, abs=1e-9)
    assert precisions == pytest.approx({name: plain[name] for name in precisions}, abs=1e-9)


def test_recall_divides_by_the_hull_and_average_precision_by_the_union() -> None:
    # 0.8 s of 1.6 s; in binary the union comes out a little longer than the hull.
    truth, predictions = [query("a", [(1.3, 2.6)])], [moments("a", [(1.0, 2.1)])]
    found = score(predictions, truth).metrics
    assert (found["R1@0.5"], found["mAP@0.5"]) == (100.0, 0.0)


def test_recall_compares_with_the_earlier_of_equally_near_windows() -> None:
    # Both annotated windows have the same IoU; over the hull only the first reaches one half.
    predictions = [moments("a", [(0.6, 5.8)])]
    near, far = (2.6, 5.2), (1.7, 4.3)
    assert hits(predictions, [query("a", [near, far])], 1, 0.5).tolist() == [True]
    assert hits(predictions, [query("a", [far, near])], 1, 0.5).tolist() == [False]


def test_a_deeper_recall_leaves_average_precision_alone() -> None:
    listed = moments("a", [(40.0, 50.0)] * 10 + [(0.0, 10.0)], [0.5] * 10 + [0.9])
    found = score([listed], [query("a", WINDOWS)], ks=(11,)).metrics
    assert (found["R11@0.5"], found["mAP"]) == (100.0, 0.0)


def test_scores_equal_the_plain_loop_across_blocks() -> None:
    random = np.random.default_rng(3)
    truth, predictions = [], []
    for place in range(BLOCK + 50):
        starts = np.sort(random.integers(0, 50, random.integers(1, 4)))
        truth.append(query(place, [(float(s), float(s + random.integers(1, 20))) for s in starts]))
        begins = random.integers(0, 50, 3)
        predictions.append(moments(str(place), [(float(b), float(b + 10)) for b in begins], [0.9, 0.9, 0.2]))
    plain = metrics_by_hand.metrics(predictions, truth)
    found = dict(score(predictions[::-1], truth).metrics) | average_precisions(predictions, truth)
    assert found == pytest.approx(plain, abs=1e-9)


def test_a_query_stays_itself_among_others() -> None:
    case = published("castella_val_best_c2b90e2")
    alone = [
        average_precisions([one], [asked])["mAP"]
        for one, asked in zip(case.predictions[:30], case.truth[:30], strict=True)
    ]
    together = evaluate(case.predictions, case.truth).average_precisions()[:30].mean(axis=1)
    assert together.tolist() == pytest.approx([value / 100 for value in alone])


def test_order_of_files_changes_nothing() -> None:
    case = published("castella_val_best_c2b90e2")
    assert score(case.predictions[::-1], case.truth) == score(case.predictions, case.truth)
    turned = hits(case.predictions, case.truth[::-1], 1, 0.5)[::-1]
    assert turned.tolist() == hits(case.predictions, case.truth, 1, 0.5).tolist()


def test_metric_names_and_their_order() -> None:
    found = score([moments("a", WINDOWS)], [query("a", WINDOWS)])
    assert list(found.metrics) == ["R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP", "mAP@0.5", "mAP@0.75"]
    assert found.queries == 1
    assert set(found.metrics.values()) == {100.0}


def test_any_k_and_threshold_can_be_asked_for() -> None:
    listed = moments("a", [(40.0, 50.0)] * 11 + [(0.0, 9.0)])
    found = score([listed], [query("a", WINDOWS)], ks=(11, 12), ious=(0.9, 0.95))
    assert [found.metrics[key] for key in ("R11@0.9", "R12@0.9", "R12@0.95")] == [0.0, 100.0, 0.0]


def test_average_precisions_name_all_ten_thresholds() -> None:
    found = average_precisions([moments("a", [(0.0, 8.0)])], [query("a", WINDOWS)])
    expected = {f"mAP@{iou:g}": 100.0 * (iou <= 0.8) for iou in THRESHOLDS} | {"mAP": 70.0}
    assert found == pytest.approx(expected)


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
    found = score(predictions, truth, partial=True)
    assert (found.queries, found.missing, found.extra, found.unanswerable) == (1, 1, 2, 1)
    assert hits(predictions, truth, 1, 0.5, partial=True).tolist() == [True]


def test_missing_and_extra_ids_are_told_together() -> None:
    truth = [query(f"q{place}", WINDOWS) for place in range(9)]
    predictions = [moments("q0", WINDOWS), moments("other", WINDOWS)]
    with pytest.raises(DataError) as refused:
        score(predictions, truth)
    assert str(refused.value) == (
        "8 of 9 queries have no prediction: 'q1', 'q2', 'q3', 'q4', 'q5' and 3 more; "
        "1 predictions belong to no annotated query: 'other'. "
        "Give one line for each query, or score the common ones (--partial)."
    )


def test_files_without_a_common_query_are_refused() -> None:
    with pytest.raises(DataError, match="no query in common. Check that they belong together"):
        score([moments("x", WINDOWS)], [query("a", WINDOWS)], partial=True)


def test_annotations_without_answers_are_refused() -> None:
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


def test_reversed_windows_are_refused_wherever_they_stand() -> None:
    late = moments("a", [(0.0, 1.0)] * 20 + [(5.0, 4.0)])
    with pytest.raises(DataError, match="predicted windows of 'a' end before they start"):
        score([late], [query("a", WINDOWS)])
    with pytest.raises(DataError, match="annotated windows of 'a' end before they start"):
        score([moments("a", WINDOWS)], [query("a", [(5.0, 4.0)])])


@pytest.mark.parametrize("k", [0, -1])
def test_senseless_k_is_refused(k: int) -> None:
    with pytest.raises(AmrbenchError, match=f"k = {k} makes no sense; give a whole number from 1 on"):
        score([moments("a", WINDOWS)], [query("a", WINDOWS)], ks=(1, k))


@pytest.mark.parametrize("iou", [0.0, 1.5, float("nan")])
def test_senseless_threshold_is_refused(iou: float) -> None:
    with pytest.raises(AmrbenchError, match=f"threshold {iou} makes no sense; give a number above 0"):
        hits([moments("a", WINDOWS)], [query("a", WINDOWS)], 1, iou)


def test_recall_beyond_the_evaluated_depth_is_a_programming_error() -> None:
    found = evaluate([moments("a", WINDOWS)], [query("a", WINDOWS)], depth=3)
    with pytest.raises(ValueError, match="evaluated for k up to 3, asked for 4"):
        found.hits(4, 0.5)


def test_slices_average_over_their_own_queries() -> None:
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
    found = score_by(predictions, truth, "kind")
    assert {label: (part.queries, part.metrics["R1@0.5"]) for label, part in found.items()} == {
        "single": (2, 50.0),
        "composite": (1, 100.0),
        "(none)": (1, 0.0),
        "2": (1, 0.0),
    }


def test_slices_equal_scoring_their_queries_alone() -> None:
    case = published("castella_val_best_c2b90e2")
    truth = [replace(one, extra={"long": one.duration > 100}) for one in case.truth]
    for label, part in score_by(case.predictions, truth, "long").items():
        alone = [one for one in truth if one.extra["long"] == (label == "true")]
        assert part == score([m for m in case.predictions if m.qid in {q.qid for q in alone}], alone)


def test_unknown_slice_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError) as refused:
        score_by([moments("a", WINDOWS)], [query("a", WINDOWS, kind="x", twin=1)], "kin")
    assert str(refused.value) == "no query has the key 'kin'; they have 'kind', 'twin'. Did you mean 'kind'?"
    with pytest.raises(DataError, match="no query has the key 'kind'; they have no additional keys"):
        score_by([moments("a", WINDOWS)], [query("a", WINDOWS)], "kind")
