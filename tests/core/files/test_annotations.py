from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amrbench.errors import DataError
from amrbench.files.annotations import faults_of, read_annotations, safe_id, write_annotations
from amrbench.files.jsonl import write_rows
from amrbench.types import Query

ROW = {"qid": "a_1", "query": "a bell", "duration": 60, "vid": "a", "relevant_windows": [[27, 28], [2.5, 9]]}
NAN = float("nan")
DURATION = "give the length of the recording in seconds, above 0."
WINDOWS = "give [[start, end], ...] in seconds with 0 <= start <= end."


def write(path: Path, *rows: dict[str, Any]) -> Path:
    write_rows(path, rows)
    return path


def refusal(path: Path, *rows: dict[str, Any]) -> str:
    with pytest.raises(DataError) as refused:
        read_annotations(write(path, *rows))
    return str(refused.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queries.jsonl"


def test_a_published_line_is_read_unchanged(path: Path) -> None:
    row = ROW | {"fg_dB": -2.5, "relevant_clip_ids": [1, 2]}
    assert read_annotations(write(path, row)) == [
        Query(
            "a_1",
            "a bell",
            "a",
            60.0,
            ((27.0, 28.0), (2.5, 9.0)),
            {"fg_dB": -2.5, "relevant_clip_ids": [1, 2]},
        )
    ]


def test_oddities_of_published_files_are_kept(path: Path) -> None:
    windows = [[59, 4800], [12, 12], [60, 61], [0, 5]]
    assert read_annotations(write(path, ROW | {"relevant_windows": windows}))[0].windows == tuple(
        (float(start), float(end)) for start, end in windows
    )


def test_hidden_ground_truth_reads_as_no_windows(path: Path) -> None:
    hidden = {key: value for key, value in ROW.items() if key != "relevant_windows"}
    first, second = read_annotations(write(path, hidden, ROW | {"qid": 7, "relevant_windows": []}))
    assert first.windows == second.windows == ()
    assert second.qid == 7


def test_written_annotations_equal_the_published_text(path: Path) -> None:
    rows = [ROW, ROW | {"qid": 7, "duration": 60.5, "twin": {"x": [1, None]}, "kind": "nähe"}]
    queries = read_annotations(write(path, *rows))
    copy = path.with_name("copy.jsonl")
    write_annotations(copy, queries)
    assert [json.loads(line) for line in copy.read_text().splitlines()] == rows
    assert [list(json.loads(line)) for line in copy.read_text().splitlines()] == [list(row) for row in rows]
    assert '"duration":60,' in copy.read_text()
    assert read_annotations(copy) == queries


def test_queries_can_be_put_into_sets(path: Path) -> None:
    queries = read_annotations(write(path, ROW | {"extra": []}))
    assert set(queries) == {queries[0]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"qid": 1.5},
            '"qid" is 1.5, not text or a whole number; give text or a whole number that no other line has.',
        ),
        (
            {"qid": 7.0},
            '"qid" is 7.0, not text or a whole number (pandas writes whole numbers so if some are missing); '
            "give text or a whole number that no other line has.",
        ),
        ({"qid": True}, '"qid" is true, not text; give text or a whole number that no other line has.'),
        ({"qid": " "}, '"qid" is blank; give text or a whole number that no other line has.'),
        ({"query": None}, '"query" is null, not text; give the sentence that is asked.'),
        ({"query": ""}, '"query" is blank; give the sentence that is asked.'),
        ({"query": "a\0b"}, '"query" holds a NUL character ("a\\u0000b"); give the sentence that is asked.'),
        (
            {"query": "a \ud83d"},
            '"query" has a lone surrogate, which UTF-8 cannot encode ("a \\ud83d"); give the sentence that '
            "is asked.",
        ),
        ({"vid": 5}, '"vid" is 5, not text; give the id of the recording as text.'),
        ({"duration": 0}, f'"duration" is 0; {DURATION}'),
        ({"duration": -1.5}, f'"duration" is -1.5; {DURATION}'),
        ({"duration": "60"}, f'"duration" is "60"; {DURATION}'),
        ({"duration": True}, f'"duration" is true; {DURATION}'),
        (
            {"duration": float("inf")},
            f'"duration" is Infinity; {DURATION}',
        ),
        ({"relevant_windows": None}, f'"relevant_windows" is null, not a list; {WINDOWS}'),
        ({"relevant_windows": [5, 6]}, f'"relevant_windows" holds 5 at position 1; {WINDOWS}'),
        ({"relevant_windows": [[0, 1], [6, 5]]}, f'"relevant_windows" holds [6, 5] at position 2; {WINDOWS}'),
        ({"relevant_windows": [[-1, 5]]}, f'"relevant_windows" holds [-1, 5] at position 1; {WINDOWS}'),
        ({"relevant_windows": [[0, 1, 2]]}, f'"relevant_windows" holds [0, 1, 2] at position 1; {WINDOWS}'),
        ({"relevant_windows": [["0", 1]]}, f'"relevant_windows" holds ["0", 1] at position 1; {WINDOWS}'),
        ({"relevant_windows": [[False, 1]]}, f'"relevant_windows" holds [false, 1] at position 1; {WINDOWS}'),
        (
            {"relevant_windows": [[0, NAN]]},
            f'"relevant_windows" holds [0, NaN] at position 1; {WINDOWS}',
        ),
    ],
)
def test_wrong_values_are_refused_with_line_key_value_and_remedy(
    path: Path, change: dict[str, Any], fault: str
) -> None:
    assert refusal(path, ROW | {"qid": "first"}, ROW | change) == f"{path}:2: {fault}"


@pytest.mark.parametrize("key", ["qid", "query", "vid", "duration"])
def test_missing_keys_are_refused(path: Path, key: str) -> None:
    row = {name: value for name, value in ROW.items() if name != key}
    assert refusal(path, row).startswith(f'{path}:1: "{key}" is missing; give ')


def test_misspelt_windows_are_no_hidden_ground_truth(path: Path) -> None:
    row = {name.replace("relevant", "relevent"): value for name, value in ROW.items()}
    assert refusal(path, row) == (
        f"{path}:1: \"relevant_windows\" is missing; rename 'relevent_windows' to it, or {WINDOWS}"
    )


def test_predictions_are_refused_once_and_not_line_by_line(path: Path) -> None:
    row = {"qid": 1, "vid": "a", "pred_relevant_windows": [[1, 2, 0.5]]}
    message = (
        f'{path}: this file has predictions ("pred_relevant_windows"), where '
        'annotations ("relevant_windows") '
        "are needed. Exchange the two files, or give the file of the annotations."
    )
    assert refusal(path, row, row | {"qid": 2}) == message
    assert refusal(path, row | {"query": "a bell", "duration": 60}) == message, "it would have no windows"


def test_numbers_too_large_for_a_float_are_refused(path: Path) -> None:
    assert refusal(path, ROW | {"duration": 10**400}).startswith(f'{path}:1: "duration" is 1000')
    text = refusal(path, ROW | {"relevant_windows": [[0, 10**400]]})
    assert text.startswith(f'{path}:1: "relevant_windows" holds [0, 1000')


def test_duplicate_ids_are_refused_with_both_lines(path: Path) -> None:
    assert refusal(path, ROW | {"qid": 7}, ROW, ROW | {"qid": "7"}) == (
        f'{path}:3: "qid" "7" is already on line 1; keep one line for each.'
    )


def test_all_mistakes_of_a_file_are_reported_together(path: Path) -> None:
    lines = refusal(path, ROW | {"duration": 0, "vid": ""}, {"qid": 2}, ROW).splitlines()
    assert [line.split(": ")[0].removeprefix(str(path)) for line in lines] == [":1", ":1", ":2", ":2", ":2"]


def test_faults_of_a_query_are_those_of_its_line() -> None:
    assert faults_of(Query("a", "a bell", "v", 60.0, ((2.0, 9.5),))) == []
    assert faults_of(Query("a", " ", "v", 60.0, ((9.0, 2.0),))) == [
        '"query" is blank; give the sentence that is asked.',
        f'"relevant_windows" holds [9, 2] at position 1; {WINDOWS}',
    ]


@pytest.mark.parametrize("name", ["a", "Wildlife_0.0_60.0", "-x", "a..b", "a b", "ñandú", 7])
def test_ordinary_ids_are_safe_as_file_names(name: str | int) -> None:
    assert safe_id(name) == str(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/a", "a\\b", "C:a", "a\0", "a\n", "x" * 201, "ñ" * 101, "\ud800"]
)
def test_ids_that_leave_a_folder_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="^id .* cannot be the name of a file; use 1 to 200 bytes without"):
        safe_id(name)
