from __future__ import annotations

import gc
import gzip
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


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a": 1}{"b": 2}'])
def test_text_that_no_parser_should_take_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text, encoding="utf-8")
    assert refusal(path).startswith(f"{path}:1: not JSON (")


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    assert refusal(path) == f"{path}: the file is empty; it must hold one JSON object on each line."


def test_byte_order_marks_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('\ufeff{"id": 1}\n\ufeff{"id": 2}\n', encoding="utf-8")
    assert read(path) == [{"id": 1}, {"id": 2}]


def test_a_compressed_file_reads_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n'))
    assert read(path) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    "text", ['[{"id": 1}, {"id": 2}]', '[\n {\n "id": 1\n }\n]\n', "[]", '[\n{"id": 1},\n']
)
def test_an_array_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    assert refusal(path) == (
        f"{path}: is one JSON array, not JSON Lines, which have one object on each line. Convert it, e.g. "
        "with: jq -c '.[]'."
    )


def test_the_json_of_castella_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('[{"yid": "x", "duration": 60, "moments": []}]')
    assert refusal(path).endswith("Convert it, with 'amrbench data convert'.")


@pytest.mark.parametrize(
    "text", ['\n{\n  "id": 1\n}\n{\n  "id": 2\n}\n', '\n{"id": 1,\n "a": 2}\n', "\n{\nx"]
)
def test_objects_over_several_lines_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    assert refusal(path) == (
        f"{path}:2: the JSON goes on over several lines (it is pretty-printed); each line must hold one "
        "complete object. Convert the file, e.g. with: jq -c ."
    )


@pytest.mark.parametrize("first", ["vid,query,start,end", "<<<<<<< HEAD", "0.5\t2.5\tbark", "null"])
def test_files_of_other_kinds_are_one_mistake(tmp_path: Path, first: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f"{first}\n" * 20)
    assert refusal(path) == (
        f"{path}:1: not JSON ({shown(first)}); each line must hold one complete JSON object. Tables and "
        "label files are converted by 'amrbench data convert'."
    )


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"id": 1}\n{"id": 2, "a": {"b": 1, "b": 1}}\n')
    assert refusal(path) == f'{path}:2: the key "b" occurs twice; keep one.'


def test_reading_ends_after_many_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"id": 1}\n' + "{}x\n" * 3000)
    assert refusal(path).splitlines()[-1] == f"{path}: at least 990 more mistakes."


def test_output_that_would_be_compressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        write_rows(tmp_path / "f.jsonl.gz", [])
    assert str(refused.value) == (
        f"{tmp_path}/f.jsonl.gz: files are written without compression. Leave out .gz."
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
