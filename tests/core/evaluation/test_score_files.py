from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.evaluation.score_files import score_files
from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from amrbench.functional.metrics import metrics_at, score
from amrbench.notes import Note
from amrbench.types import Moments, Query
from tests.oracle.reference_predictions import Case, published
from tests.small_world.written_runs import make_run


@pytest.fixture
def case() -> Case:
    return published("castella_val_best_c2b90e2")


@pytest.fixture
def predictions(tmp_path: Path, case: Case) -> Path:
    path = tmp_path / "val.jsonl"
    write_predictions(path, case.predictions)
    return path


@pytest.fixture
def truth(tmp_path: Path, case: Case) -> Path:
    path = tmp_path / "truth.jsonl"
    queries = [
        Query(q.qid, q.query, q.vid, q.duration, q.windows, {"windows": min(len(q.windows), 2)})
        for q in case.truth
    ]
    write_annotations(path, queries)
    return path


def keep_lines(path: Path, first: int, last: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[first:last]))


def test_json_holds_queries_and_metrics(predictions: Path, truth: Path, case: Case) -> None:
    report = score_files(predictions, truth).as_json()
    assert report == {"queries": 352, "metrics": dict(score(case.predictions, case.truth).metrics)}
    assert json.loads(json.dumps(report)) == report


def test_table_has_two_decimals_and_the_baselines(predictions: Path, truth: Path) -> None:
    report = score_files(predictions, truth)
    assert report.headers() == [
        *("predictions", "queries", "R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP", "mAP@0.5", "mAP@0.75")
    ]
    first, *baselines = report.rows()
    assert first == ["val.jsonl", "352", "27.56", "16.19", "47.73", "26.70", "11.44", "24.02", "10.26"]
    assert [row[:2] for row in baselines] == [["always 0-10 s", "352"], ["whole recording", "352"]]
    assert report.notes() == []


def test_slices_are_in_table_and_json(predictions: Path, truth: Path, case: Case) -> None:
    report = score_files(predictions, truth, by="windows")
    single = sum(len(query.windows) == 1 for query in case.truth)
    assert [row[:2] for row in report.rows()[1:3]] == [
        *(["windows=2", str(352 - single)], ["windows=1", str(single)])
    ]
    slices = report.as_json()["slices"]
    assert isinstance(slices, dict)
    assert {label: part["queries"] for label, part in slices.items()} == {"1": single, "2": 352 - single}


def test_differing_ids_are_refused_with_both_files(predictions: Path, truth: Path) -> None:
    keep_lines(predictions, 0, 350)
    with pytest.raises(DataError) as error:
        score_files(predictions, truth)
    assert str(error.value).startswith(
        f"{predictions} against {truth}: 2 of 352 queries have no prediction: "
    )


def test_partial_scores_the_intersection_and_says_so(predictions: Path, truth: Path) -> None:
    keep_lines(predictions, 0, 350)
    keep_lines(truth, 10, 352)
    report = score_files(predictions, truth, partial=True)
    assert report.as_json()["queries"] == 340
    assert report.as_json()["partial"] == {"missing": 2, "extra": 10}
    assert {row[1] for row in report.rows()} == {"340"}
    assert report.notes() == [
        "2 annotated queries without a prediction were left out.",
        "10 predictions without an annotated query were left out.",
    ]


def test_partial_says_so_when_nothing_differs(predictions: Path, truth: Path) -> None:
    assert score_files(predictions, truth, partial=True).as_json()["partial"] == {"missing": 0, "extra": 0}


def test_queries_without_a_usable_window_are_noted(predictions: Path, truth: Path, case: Case) -> None:
    first, *rest = case.truth
    empty = Query(first.qid, first.query, first.vid, first.duration, ((3.0, 3.0),))
    write_annotations(truth, [empty, *rest])
    report = score_files(predictions, truth)
    assert report.as_json()["queries"] == 351
    assert report.notes() == ["1 queries without a window longer than 0 s and at most 1500 s were left out."]


def moments_of_one_query(tmp_path: Path, *windows: tuple[float, float]) -> tuple[Path, Path]:
    """Write predictions and annotations of a recording of 35 s, and return both paths."""
    file, truth = tmp_path / "p.jsonl", tmp_path / "t.jsonl"
    write_predictions(file, [Moments("q1", "v", np.array(windows)), Moments("other", "v", np.empty((0, 2)))])
    annotated = [Query(qid, "a bell", "v", 35.0, ((3.0, 9.0),)) for qid in ("q1", "other")]
    write_annotations(truth, annotated)
    return file, truth


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ((500.0, 600.0), "500 to 600"),
        ((20.0, 60.0), "20 to 60"),
        ((35.0, 35.9), "35 to 35.9"),
        ((-3.0, -2.0), "-3 to -2"),
        ((-3.0, 4.0), "-3 to 4"),
    ],
)
def test_moments_outside_of_their_recording_are_noted(
    tmp_path: Path, window: tuple[float, float], shown: str
) -> None:
    file, truth = moments_of_one_query(tmp_path, (1.0, 2.0), window, (600.0, 700.0))
    message = (
        f"{file}: 2 of 3 moments lie outside of their recording or leave it by far, first that of query 'q1' "
        f"({shown} s of 35 s). Times are seconds from the start of the recording. They are scored all the "
        "same."
    )
    with pytest.warns(Note, match=f"^{re.escape(message)}$"):
        assert score_files(file, truth).scores.queries == 2


def test_moments_a_little_too_long_or_cut_at_the_end_are_not_noted(tmp_path: Path) -> None:
    file, truth = moments_of_one_query(tmp_path, (34.0, 45.0), (35.0, 35.0), (35.0, 35.0005), (-0.5, 2.0))
    score_files(file, truth)


def test_a_folder_is_refused_with_a_file_of_it(tmp_path: Path, truth: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(DataError) as error:
            score_files(folder, truth)
        return str(error.value)

    takes = "'amrbench compare' and 'amrbench analyze' take runs, and folders with a file for each seed."
    run = make_run(tmp_path / "run")
    example = run / "predictions/seed-0.test.jsonl"
    example.with_name("seed-0-queries-shuffled.test.jsonl").touch()
    for folder in (run, run / "predictions"):
        assert refusal(folder) == (
            f"{folder}: is a folder, and 'amrbench score' takes one prediction file. Give a file of it, e.g. "
            f"{example}. {takes}"
        )
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == (
        f"{tmp_path}/empty: is a folder, and 'amrbench score' takes one prediction file. Give a file of it. "
        f"{takes}"
    )


def test_other_recalls_can_be_asked_for(predictions: Path, truth: Path, case: Case) -> None:
    report = score_files(predictions, truth, metrics=metrics_at((10,), (0.3,)))
    known = case.known["brute_recall_list_order"]["R10@0.3"]["percent"]
    assert report.headers()[2:] == ["R10@0.3", "mAP", "mAP@0.5", "mAP@0.75"]
    assert report.scores.metrics["R10@0.3"] == pytest.approx(known, abs=1e-6)


def test_scoring_loads_neither_torch_nor_pydantic() -> None:
    heavy = "{'torch', 'pydantic', 'scipy', 'h5py'} & set(sys.modules)"
    code = (
        f"import sys, amrbench.evaluation.score_files, amrbench.evaluation.baselines; print(sorted({heavy}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
