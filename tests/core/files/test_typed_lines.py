"""Both ways of reading give the same, for annotations and for predictions."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError
from amrbench.files import annotations, predictions
from amrbench.files.annotations import read_annotations
from amrbench.files.predictions import read_predictions
from amrbench.files.typed_lines import are_ids, are_texts, read_typed, window_table

QUERY = {"qid": '"a_1"', "query": '"a bell"', "duration": "60", "vid": '"a"'}
QUERY |= {"relevant_windows": "[[2,9.5]]"}
PREDICTION = {"qid": '"a_1"', "vid": '"a"', "pred_relevant_windows": "[[1,2.5,0.9],[0,60,0.25]]"}
READERS = [(read_annotations, annotations, QUERY), (read_predictions, predictions, PREDICTION)]
Reader = Callable[[Path], list[Any]]


def shown(item: Any) -> str:
    """Return all that an item holds, with the types of its numbers and the signs of its zeros."""
    values = (value.tolist() if isinstance(value, np.ndarray) else value for value in vars(item).values())
    return repr(list(values))


def outcome(read: Reader, path: Path) -> list[str] | str:
    try:
        return [shown(item) for item in read(path)]
    except DataError as error:
        return str(error)


def both(number: int, data: bytes, folder: Path) -> tuple[list[str] | str, list[str] | str]:
    """Return what a file gives, and what it gives line by line."""
    read, module, _ = READERS[number]
    path = folder / "f.jsonl"
    path.write_bytes(data)
    with mock.patch.object(module, "read_typed", return_value=None):
        plain = outcome(read, path)
    return outcome(read, path), plain


def is_fast(number: int, data: bytes, folder: Path) -> bool:
    """Whether a file is read by typed decoding alone."""
    read, module, _ = READERS[number]
    path = folder / "f.jsonl"
    path.write_bytes(data)
    with mock.patch.object(module, "read_rows", side_effect=ZeroDivisionError):
        try:
            return bool(read(path))
        except ZeroDivisionError:
            return False


def line(pairs: list[tuple[str, str]] | dict[str, str]) -> str:
    items = pairs.items() if isinstance(pairs, dict) else pairs
    return "{" + ", ".join(f'"{key}": {value}' for key, value in items) + "}"


VALUES = [
    *(
        '"b"',
        '"b:c"',
        '""',
        '" "',
        '"\\u0000"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u003a"',
        '"n\u00e4h\u2028"',
    ),
    *("7", "7.0", "-0", "-0.0", "1e400", "9007199254740993", "1" + "0" * 30, "0.1", "1E2", "01", "5"),
    *("true", "null", "NaN", "-Infinity", "[]", "{}", "[[]]", "[[0,1]]", "[[0,1],[3,2]]", "[1,2"),
    *("[[0,1],[2,3,0.5]]", "[[0,1,2,3]]", "[[-1,2]]", "[[-0.0,-0]]", "[[1,2,true]]", '[["0",1]]'),
    *("[[9007199254740993,9007199254740992]]", "[[0,1e308,1e-320]]"),
    *('{"a": 1, "a:b": [2]}', '{"a": 1, "a": 2}'),
]
KEYS = ["qid", "vid", "query", "duration", "relevant_windows", "pred_relevant_windows"]
KEYS += ["q\\u0069d", "relevent_windows", "pred_saliency_scores", "a:b", "\\u003a", ""]
TEXTS = ["\r", "\r\n", "\n", "\n\n", "\t", " ", "\u00a0", "\ufeff", "\0", "\x85"]
TEXTS += ["x", "}", "{", ",", ":", '"', "\\"]


@st.composite
def files(draw: st.DrawFn) -> tuple[int, bytes]:
    """Return the number of a reader, and lines of which most are as they should be."""
    number = draw(st.integers(0, 1))
    ends, lines = draw(st.sampled_from(["\n", "\n", "\r\n"])), []
    for row in range(draw(st.integers(1, 4))):
        pairs = list((READERS[number][2] | {"qid": f'"q{row}"'}).items())
        for _ in range(draw(st.integers(0, 2))):
            kind, at = draw(st.sampled_from(["add", "change", "drop"])), draw(st.integers(0, 9)) % len(pairs)
            if kind == "drop" and len(pairs) > 1:
                del pairs[at]
            elif kind == "add":
                pairs.insert(at, (draw(st.sampled_from(KEYS)), draw(st.sampled_from(VALUES))))
            else:
                pairs[at] = (pairs[at][0], draw(st.sampled_from(VALUES)))
        text = line(pairs)
        if draw(st.integers(0, 4)) == 0:
            at = draw(st.integers(0, len(text)))
            text = text[:at] + draw(st.sampled_from(TEXTS)) + text[at:]
        lines.append(text)
    return number, ends.join(lines).encode()


@given(files())
def test_both_ways_give_the_same_items_and_messages(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[int, bytes]
) -> None:
    fast, plain = both(*file, tmp_path_factory.getbasetemp())
    assert fast == plain


def single_changes(number: int) -> Iterator[str]:
    usual = READERS[number][2]
    for value in VALUES:
        yield from (line(usual | {key: value}) for key in usual)
        yield from (line([*usual.items(), (key, value)]) for key in KEYS)
    yield from (line({other: usual[other] for other in usual if other != key}) for key in usual)


@pytest.mark.parametrize("number", [0, 1])
def test_both_ways_agree_on_each_change_alone(tmp_path: Path, number: int) -> None:
    for changed in single_changes(number):
        fast, plain = both(number, changed.encode("utf-8", "surrogatepass"), tmp_path)
        assert fast == plain, changed


USUAL = [
    {},
    {"qid": "7"},
    {"vid": '"n\\u00e4he"'},
    {"query": '"at 12:30: a \\"bell\\""'},
    {"other": '{"a": [1, {"b": "c:d"}]}'},
]


@pytest.mark.parametrize("change", USUAL)
@pytest.mark.parametrize("number", [0, 1])
def test_ordinary_files_are_read_the_fast_way(tmp_path: Path, number: int, change: dict[str, str]) -> None:
    lines = [line(READERS[number][2] | {"qid": '"b"'}), "", line(READERS[number][2] | change)]
    for data in ("\n".join(lines).encode(), "\n".join(lines[::2]).replace("\n", "\r\n").encode()):
        assert is_fast(number, data, tmp_path)
        fast, plain = both(number, data, tmp_path)
        assert fast == plain
        assert isinstance(fast, list)


@pytest.mark.parametrize(
    "change",
    [
        {"qid": '"b", "qid": "b"'},
        {"other": '{"a": 1, "a": 1}'},
        {"query": '"\\u003a"', "other": "1"},
        {"vid": '"\\ud800"'},
        {"other": "NaN"},
        {"other": "1e400"},
        {"other": "1" * 5000},
        {"other": "[" * 100_000},
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_unusual_files_are_not(tmp_path: Path, number: int, change: dict[str, str]) -> None:
    data = line(READERS[number][2] | change).encode()
    assert not is_fast(number, data, tmp_path)
    fast, plain = both(number, data, tmp_path)
    assert fast == plain


@pytest.mark.parametrize("number", [0, 1])
def test_other_kinds_of_files_are_not(tmp_path: Path, number: int) -> None:
    usual = line(READERS[number][2])
    tar = usual.encode().ljust(257) + b"ustar"
    packed, marked = gzip.compress(usual.encode()), b"\xef\xbb\xbf" + usual.encode()
    old = usual.replace(", ", ",\r").encode()
    for data in (b"", b"\n", packed, marked, old, tar, usual.encode().replace(b"a", b"\xe4")):
        assert not is_fast(number, data, tmp_path) or data is packed
        fast, plain = both(number, data, tmp_path)
        assert fast == plain


def test_a_missing_file_has_the_message_of_the_plain_way(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)\. Check the path\.$"):
        read_predictions(tmp_path / "none.jsonl")


def test_moments_of_lines_without_windows_have_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    empty = PREDICTION | {"qid": "2", "pred_relevant_windows": "[]"}
    path.write_text(f"{line(empty)}\n{line(PREDICTION)}\n")
    none, some = read_predictions(path)
    assert (none.windows.shape, none.scores) == ((0, 2), None)
    assert some.scores is not None
    assert some.scores.tolist() == [0.9, 0.25]


def test_texts_and_ids() -> None:
    assert are_texts(["a", "b c"])
    assert not are_texts(["a", " "])
    assert not are_texts(["a\0"])
    assert are_ids(["a", 7, "8"])
    assert not are_ids(["7", 7])
    assert not are_ids([7.0])
    assert not are_ids([""])


def test_window_tables() -> None:
    table = window_table([[(0, 1)], [], [(2, 3), (4, 4)]], 2)
    assert table is not None
    assert table.tolist() == [[0, 1], [2, 3], [4, 4]]
    assert window_table([[(1, 0)]], 2) is None
    assert window_table([[(0, 2.0**53)]], 2) is None
    assert window_table([[(-math.inf, 0)]], 2) is None


def test_lines_with_other_types_are_left_to_the_plain_way() -> None:
    class Number(msgspec.Struct):
        a: int

    data = b'{"a": 1}\n{"a": 2, "b": "x:"}\n'
    assert read_typed(data, Number, lambda lines, objects: [*lines, *objects]) == [
        *(Number(1), Number(2)),
        *({"a": 1}, {"a": 2, "b": "x:"}),
    ]
    assert read_typed(b'{"a": "1"}\n', Number, lambda lines, objects: lines) is None


@pytest.mark.parametrize(("read", "keys"), [(read, keys) for read, _, keys in READERS])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_once(read: Reader, keys: dict[str, str], pack: Callable[[bytes], bytes]) -> None:
    with piped(pack(line(keys).encode())) as path:
        assert [item.qid for item in read(path)] == ["a_1"]
    with (
        piped(pack(b'{"qid": "a_1"}')) as path,
        pytest.raises(DataError, match=r'fd/\d+:1: "vid" is missing'),
    ):
        read(path)


@contextmanager
def piped(data: bytes) -> Iterator[Path]:
    """Yield the path of a pipe that holds some bytes, as `<(...)` of a shell gives it."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    try:
        yield Path(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
