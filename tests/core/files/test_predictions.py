from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.jsonl import write_rows
from amrbench.files.predictions import read_predictions, rounded, write_predictions
from amrbench.functional.metrics import evaluate, score
from amrbench.types import Moments
from tests.oracle.reference_predictions import FILES, prediction_rows, published

ROW = {"qid": "a_1", "vid": "a", "pred_relevant_windows": [[1, 2.5, 0.9], [0, 60, 0.25]]}
REMEDY = (
    "give [[start, end, score], ...] of finite numbers with start <= end, "
    "with a score for each window of the line or for none."
)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    write_rows(path, rows)
    return path


def refusal(path: Path, *rows: dict[str, Any]) -> str:
    with pytest.raises(DataError) as refused:
        read_predictions(write(path, *rows))
    return str(refused.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def test_windows_and_scores_are_read_in_the_listed_order(path: Path) -> None:
    (moments,) = read_predictions(write(path, ROW | {"pred_saliency_scores": [0.1]}))
    assert (moments.qid, moments.vid) == ("a_1", "a")
    assert moments.windows.tolist() == [[1, 2.5], [0, 60]]
    assert moments.scores is not None
    assert moments.scores.tolist() == [0.9, 0.25]


def test_lines_may_come_without_scores_or_without_windows(path: Path) -> None:
    bare, empty, scored = read_predictions(
        write(
            path,
            ROW | {"pred_relevant_windows": [[-5, 75]]},
            ROW | {"qid": 2, "pred_relevant_windows": []},
            ROW | {"qid": 3},
        )
    )
    assert bare.scores is None
    assert bare.windows.tolist() == [[-5, 75]]
    assert (empty.qid, empty.windows.shape, empty.scores) == (2, (0, 2), None)
    assert scored.scores is not None


@pytest.mark.parametrize("name", FILES)
def test_published_files_pass_through_our_formats_unchanged(path: Path, name: str) -> None:
    rows = prediction_rows(name)
    predictions = read_predictions(write(path, *rows))
    assert len(predictions) == FILES[name]
    case = published(name)
    np.testing.assert_array_equal(
        evaluate(predictions, case.truth).average_precision,
        evaluate(case.predictions, case.truth).average_precision,
    )
    write_predictions(path, predictions)
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["qid"], row["vid"], row["pred_relevant_windows"]) for row in again] == [
        (row["qid"], row["vid"], row["pred_relevant_windows"]) for row in rows
    ]


def test_written_predictions_score_as_the_rounded_ones(path: Path) -> None:
    random = np.random.default_rng(5)
    truth = published("castella_val_best_c2b90e2").truth
    predictions = []
    for query in truth:
        starts = random.uniform(0, query.duration, 10)
        windows = np.stack([starts, starts + random.exponential(20, 10)], axis=1)
        predictions.append(Moments(query.qid, query.vid, windows, np.sort(random.random(10))[::-1]))
    write_predictions(path, predictions)
    read = read_predictions(path)
    expected = [rounded(moments) for moments in predictions]
    assert all(
        np.array_equal(one.windows, other.windows) and np.array_equal(one.scores, other.scores)
        for one, other in zip(read, expected, strict=True)
    )
    assert score(read, truth) == score(expected, truth)


def test_written_lines_are_compact_and_rounded_as_text(path: Path) -> None:
    windows = np.array([[0.00005, 59.0], [1 / 3, 2.00015]])
    write_predictions(path, [Moments(7, "a", windows, np.array([0.99999, 0.5]), query="a bell")])
    assert path.read_text() == (
        '{"qid":7,"query":"a bell","vid":"a",'
        '"pred_relevant_windows":[[0.0001,59.0,1.0],[0.3333,2.0002,0.5]]}\n'
    )
    write_predictions(path, [Moments("b", "a", windows[1:])])
    assert path.read_text() == '{"qid":"b","vid":"a","pred_relevant_windows":[[0.3333,2.0002]]}\n'


def test_a_query_without_moments_survives_the_file(path: Path) -> None:
    write_predictions(path, [Moments("b", "a", np.empty((0, 2)), np.empty(0))])
    assert path.read_text() == '{"qid":"b","vid":"a","pred_relevant_windows":[]}\n'
    assert rounded(read_predictions(path)[0]).windows.shape == (0, 2)


@pytest.mark.parametrize(
    ("windows", "fault"),
    [
        (None, "is null, not a list"),
        ({"a": 1}, 'is {"a": 1}, not a list'),
        ([1, 2], "holds 1 at position 1"),
        ([[1, 2, 0.5], [3]], "holds [3] at position 2"),
        ([[1, 2, 0.5, 6]], "holds [1, 2, 0.5, 6] at position 1"),
        ([[1, 2, 0.5], [2, 1, 0.4]], "holds [2, 1, 0.4] at position 2"),
        ([[1, 2, 0.5], [2, 3]], "mixes windows with and without a score"),
        ([["1", 2, 0.5]], 'holds ["1", 2, 0.5] at position 1'),
        ([[1, 2, True]], "holds [1, 2, true] at position 1"),
        ([[1, 2, None]], "holds [1, 2, null] at position 1"),
        ([[1, float("nan"), 0.5]], "holds [1, NaN, 0.5] at position 1"),
        ([[float("-inf"), 2, 0.5]], "holds [-Infinity, 2, 0.5] at position 1"),
        ([[1, 2, float("nan")]], "holds [1, 2, NaN] at position 1"),
        ([[1, 2, float("inf")]], "holds [1, 2, Infinity] at position 1"),
    ],
)
def test_wrong_windows_are_refused_with_line_value_and_remedy(
    path: Path, windows: object, fault: str
) -> None:
    refused = refusal(path, ROW, ROW | {"qid": 2, "pred_relevant_windows": windows})
    assert refused == f'{path}:2: "pred_relevant_windows" {fault}; {REMEDY}'


def test_numbers_too_large_for_a_float_are_refused(path: Path) -> None:
    text = refusal(path, ROW | {"pred_relevant_windows": [[0, 10**400]]})
    assert text.startswith(f'{path}:1: "pred_relevant_windows" holds [0, 1000')


def test_missing_keys_are_refused_with_a_near_match(path: Path) -> None:
    assert refusal(path, {"qid": "a", "vid": "a", "pred_windows": []}) == (
        f"{path}:1: \"pred_relevant_windows\" is missing; rename 'pred_windows' to it, or {REMEDY}"
    )
    assert refusal(path, {"qid": "a", "pred_relevant_windows": []}) == (
        f'{path}:1: "vid" is missing; give the id of the recording as text.'
    ), "qid is a key of its own"
    assert refusal(path, {"pred_relevant_windows": []}).splitlines() == [
        f'{path}:1: "qid" is missing; give the query\'s id as the annotations have it.',
        f'{path}:1: "vid" is missing; give the id of the recording as text.',
    ]


def test_annotations_are_refused_once_and_not_line_by_line(path: Path) -> None:
    row = {"qid": "a", "query": "a bell", "vid": "a", "duration": 60, "relevant_windows": [[1, 2]]}
    assert refusal(path, row, row | {"qid": "b"}) == (
        f'{path}: this file has annotations ("relevant_windows"), where '
        'predictions ("pred_relevant_windows") '
        "are needed. Exchange the two files, or give the file of the predictions."
    )
    assert refusal(path, {"qid": "a", "vid": "a", "relevant_windows": []}) == (
        f"{path}:1: \"pred_relevant_windows\" is missing; rename 'relevant_windows' to it, or {REMEDY}"
    ), "without a duration it is a misnamed key"


def test_duplicate_ids_are_refused_with_both_lines(path: Path) -> None:
    assert refusal(path, ROW | {"qid": "7"}, ROW | {"qid": 7}) == (
        f'{path}:2: "qid" 7 is already on line 1; keep one line for each.'
    )
