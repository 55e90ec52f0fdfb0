from __future__ import annotations

import gc
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.jsonl import collector_paused, read_rows, shown, write_rows


def read(path: Path) -> list[dict]:
    return read_rows(path, (), dict, unique="id")


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as refused:
        read(path)
    return str(refused.value)


def test_rows_come_back_and_blank_lines_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"id": 1}\r\n\n  \n{"id": "\xe2\x80\xa8 \\ud800"}')
    assert read(path) == [{"id": 1}, {"id": "\u2028 \ud800"}]


def test_written_rows_read_back(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    rows = [{"id": [1, 2.5], "b": "näh\u2028\ud800"}, {"id": None}]
    write_rows(path, rows)
    assert read(path) == rows
    assert path.read_bytes().count(b"\n") == 2


def test_numbers_of_lines_count_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('\n{"id": 1}\n\n{"id": 2\n[3]\n')
    first, second = refusal(path).splitlines()
    assert first.startswith(f"{path}:4: not JSON (")
    assert first.endswith("; each line must hold one complete JSON object.")
    assert second == f"{path}:5: [3] is not an object; each line must hold one JSON object {{...}}."


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a": 1}{"b": 2}', '\ufeff{"a": 1}']
)
def test_text_that_no_parser_should_take_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text, encoding="utf-8")
    assert refusal(path).startswith(f"{path}:1: not JSON (")


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    assert refusal(path) == f"{path}: the file is empty; it must hold one JSON object on each line."


def test_other_encodings_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": "\xe9"}\n')
    assert refusal(path) == (
        f"{path}:2: byte 0xe9 is not UTF-8 text; save the file as plain UTF-8 JSON Lines."
    )


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "f.jsonl"
    assert refusal(path) == f"{path}: cannot be read (No such file or directory). Check the path."
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read (Is a directory). Check the path."
    with pytest.raises(
        DataError, match=r"f\.jsonl: cannot be written \(No such file or directory\). Check the folder."
    ):
        write_rows(path, [])


def test_ten_mistakes_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text("[]\n" * 14)
    lines = refusal(path).splitlines()
    assert [line.split(":")[-2] for line in lines[:10]] == [str(number) for number in range(1, 11)]
    assert lines[10:] == [f"{path}: 4 more mistakes."]


def test_failed_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    write_rows(path, [{"id": 1}])
    with pytest.raises(TypeError):
        write_rows(path, [{"id": 2}, {"id": object()}])
    assert read(path) == [{"id": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["f.jsonl"]


def test_long_values_are_cut_in_messages() -> None:
    assert shown("x" * 100) == '"' + "x" * 56 + "..."
    assert shown(float("nan")) == "NaN"


def test_collector_runs_again_after_a_pause() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
