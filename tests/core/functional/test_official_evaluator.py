from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError
from amrbench.functional.metrics import evaluate, metrics_at, score
from amrbench.functional.official_evaluator import BLOCK
from tests.core.functional.samples import WINDOWS, average_precisions, hits, moments, query
from tests.oracle import metrics_by_hand
from tests.oracle.reference_predictions import FILES, FOLDER, Case, edge_cases, published, random_sets

REFUSED = {
    "reversed_prediction": "predicted windows of 'a' end before they start",
    "missing_query_strict": "1 of 2 queries have no prediction: 'b'",
    "extra_query_strict": "1 predictions belong to no annotated query: 'b'",
    "duplicate_qid_in_submission": "the predictions hold more than one entry for 'a'",
    "duplicate_qid_in_gt": "the annotations hold more than one entry for 'a'",
}
ONLY_OURS = {"empty_prediction_list": 50.0, "prediction_without_score": 100.0}


def two_decimals(value: float) -> float:
    return float(f"{value:.2f}")


def hits_of(case: Case, name: str, *, partial: bool = False) -> np.ndarray:
    """Return the hits of a recall such as R1@0.5."""
    k, iou = name.removeprefix("R").split("@")
    return hits(case.predictions, case.truth, int(k), float(iou), partial=partial)


def assert_reference(case: Case, known: dict[str, dict[str, dict[str, float]]]) -> None:
    partial = not case.known.get("match_number", True)
    precisions = average_precisions(case.predictions, case.truth, partial=partial)
    rounded = {name.removeprefix("mAP@"): two_decimals(value) for name, value in precisions.items()}
    rounded["average"] = rounded.pop("mAP")
    assert rounded == known["full"]["MR-mAP"]
    recalls = {
        iou: two_decimals(100 * hits_of(case, f"R1@{iou}", partial=partial).mean())
        for iou in known["full"]["MR-R1"]
    }
    assert recalls == known["full"]["MR-R1"]


# ---------------------------------------------------------------- against the reference


def test_every_reference_file_is_there() -> None:
    on_disk = {path.name for path in FOLDER.iterdir() if path.suffix in (".gz", ".json")}
    truth = {"gt_castella_test.json.gz", "gt_castella_val.json.gz", "gt_qvhighlights_val.json.gz"}
    others = {"edge_cases.json", "random_stress.json.gz"}
    assert on_disk == {f"{name}.json.gz" for name in FILES} | truth | others
    assert len(edge_cases()) == 24
    assert [len(case.truth) for case in random_sets()] == [150, 150]


@pytest.mark.parametrize("name", FILES)
def test_the_21_published_numbers_come_out(name: str) -> None:
    case = published(name)
    # Some files also publish R1 at lower thresholds, which the official evaluator no longer reports.
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
    precisions = average_precisions(case.predictions, case.truth)
    assert precisions["mAP"] == pytest.approx(known["mAP"], abs=1e-9)
    for iou, value in known["mAP_by_iou"].items():
        assert precisions[f"mAP@{iou}"] == pytest.approx(value, abs=1e-9)
    assert len(known["mAP_by_iou"]) == 10


@pytest.mark.parametrize("name", FILES)
def test_recall_hits_equal_the_brute_force_exactly(name: str) -> None:
    case = published(name)
    known = case.known["brute_recall_list_order"]
    counts = {recall: int(hits_of(case, recall).sum()) for recall in known}
    assert counts == {recall: value["hits"] for recall, value in known.items()}
    assert len(known) == 15


def test_random_sets_come_out_as_the_reference_has_them() -> None:
    for case in random_sets():
        assert_reference(case, case.known["reference_metrics"])
        precisions = average_precisions(case.predictions, case.truth)
        assert precisions["mAP"] == pytest.approx(case.known["reference_unrounded"]["mAP"], abs=1e-9)
        for iou, value in case.known["reference_unrounded"]["mAP_by_iou"].items():
            assert precisions[f"mAP@{iou}"] == pytest.approx(value, abs=1e-9)
        for recall, value in case.known["brute_recall_list_order"].items():
            assert hits_of(case, recall).sum() == value["hits"]


@pytest.mark.parametrize("name", [name for name in edge_cases() if name not in {**REFUSED, **ONLY_OURS}])
def test_edge_cases_come_out_as_the_reference_has_them(name: str) -> None:
    case = edge_cases()[name]
    assert_reference(case, case.known["reference_metrics"])
    partial = not case.known["match_number"]
    for recall, value in case.known["brute_recall_list_order"].items():
        assert hits_of(case, recall, partial=partial).sum() == value["hits"]


@pytest.mark.parametrize("name", REFUSED)
def test_edge_cases_that_hide_a_mistake_are_refused_by_name(name: str) -> None:
    case = edge_cases()[name]
    with pytest.raises(DataError, match=REFUSED[name]):
        score(case.predictions, case.truth)


@pytest.mark.parametrize("name", ONLY_OURS)
def test_edge_cases_that_stop_the_reference_are_scored(name: str) -> None:
    case = edge_cases()[name]
    assert case.known["reference_error"].startswith("IndexError")
    assert score(case.predictions, case.truth).metrics["mAP"] == ONLY_OURS[name]
    for recall, value in case.known["brute_recall_list_order"].items():
        reached = hits_of(case, recall)
        assert (reached.sum(), len(reached)) == (value["hits"], value["total"])


# ---------------------------------------------------------------- against the slow twin

# Tenths of a second on a short line: many ties, and thresholds that are reached except for rounding.
tenths = st.integers(0, 12).map(lambda number: number / 10)
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
    truth = [query(f"q{index}", targets) for index, (targets, _, _) in enumerate(rows)]
    predictions = [
        moments(f"q{index}", [w for w, _ in listed], [s for _, s in listed] if with_scores else None)
        for index, (_, listed, with_scores) in enumerate(rows)
    ]
    plain = metrics_by_hand.metrics(predictions, truth, ks=(1, 2, 5, 12), ious=(0.3, 0.5, 0.7))
    fast = score(predictions, truth, metrics=metrics_at((1, 2, 5, 12), (0.3, 0.5, 0.7))).metrics
    precisions = average_precisions(predictions, truth)
    assert fast == pytest.approx({name: plain[name] for name in fast}, abs=1e-9)
    assert precisions == pytest.approx({name: plain[name] for name in precisions}, abs=1e-9)


def test_scores_equal_the_plain_loop_across_blocks() -> None:
    random = np.random.default_rng(3)
    truth, predictions = [], []
    for index in range(BLOCK + 50):
        starts = np.sort(random.integers(0, 50, random.integers(1, 4)))
        truth.append(query(index, [(float(s), float(s + random.integers(1, 20))) for s in starts]))
        begins = random.integers(0, 50, 3)
        predictions.append(moments(str(index), [(float(b), float(b + 10)) for b in begins], [0.9, 0.9, 0.2]))
    plain = metrics_by_hand.metrics(predictions, truth)
    fast = dict(score(predictions[::-1], truth).metrics) | average_precisions(predictions, truth)
    assert fast == pytest.approx(plain, abs=1e-9)


# ---------------------------------------------------------------- single rules


def test_recall_divides_by_the_hull_and_average_precision_by_the_union() -> None:
    # 0.8 s of 1.6 s; in binary the union comes out a little longer than the hull.
    truth, predictions = [query("a", [(1.3, 2.6)])], [moments("a", [(1.0, 2.1)])]
    metrics = score(predictions, truth).metrics
    assert (metrics["R1@0.5"], metrics["mAP@0.5"]) == (100.0, 0.0)


def test_recall_compares_with_the_earlier_of_equally_near_windows() -> None:
    # Both annotated windows have the same IoU; over the hull only the first reaches one half.
    predictions = [moments("a", [(0.6, 5.8)])]
    near, far = (2.6, 5.2), (1.7, 4.3)
    assert hits(predictions, [query("a", [near, far])], 1, 0.5).tolist() == [True]
    assert hits(predictions, [query("a", [far, near])], 1, 0.5).tolist() == [False]


def test_a_deeper_recall_does_not_change_average_precision() -> None:
    listed = moments("a", [(40.0, 50.0)] * 10 + [(0.0, 10.0)], [0.5] * 10 + [0.9])
    metrics = score([listed], [query("a", WINDOWS)], metrics=metrics_at(ks=(11,))).metrics
    assert (metrics["R11@0.5"], metrics["mAP"]) == (100.0, 0.0)


def test_other_queries_do_not_change_a_query() -> None:
    case = published("castella_val_best_c2b90e2")
    alone = [
        average_precisions([one], [asked])["mAP"]
        for one, asked in zip(case.predictions[:30], case.truth[:30], strict=True)
    ]
    together = evaluate(case.predictions, case.truth).average_precision[:30].mean(axis=1)
    assert together.tolist() == pytest.approx([value / 100 for value in alone])
