from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import h5py
import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files import feature_file_writer
from amrbench.files.feature_file import SCHEMA
from amrbench.files.feature_file_writer import ConcatTable, InMemoryTable, SelectedTable, write_feature_file
from amrbench.files.file_digest import SIZE
from tests.core.files.feature_files import HEADER, NAMES, SENTENCES, broken_rows, items, written


def test_same_content_gives_same_bytes_later(tmp_path: Path) -> None:
    written(tmp_path / "a.h5")
    time.sleep(1.1)
    written(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_concatenated_tables_equal_one_table(tmp_path: Path) -> None:
    table = items(("a", "b", "c", "d", "e"), 4)
    first, third, rest = (
        InMemoryTable(table.ids[part], table.rows[part]) for part in (slice(0, 2), slice(2, 3), slice(3, 5))
    )
    from_file = written(tmp_path / "rest.h5", audio=rest).audio
    parts = ConcatTable((first, InMemoryTable(), third, from_file))
    one = written(tmp_path / "one.h5", audio=table)
    write_feature_file(tmp_path / "many.h5", HEADER, audio=parts, text=items(SENTENCES, 3))
    assert one.path.read_bytes() == (tmp_path / "many.h5").read_bytes()


def test_selected_items_have_new_names_and_may_repeat() -> None:
    table = items(("a", "b", "c"), 4)
    selected = SelectedTable(table, {"x": "c", "y": "a", "z": "c"})
    assert selected.ids == ("x", "y", "z")
    assert selected.lengths.tolist() == [3, 1, 3]
    for index, original in enumerate((2, 0, 2)):
        np.testing.assert_array_equal(selected.item(index), table.rows[original])


def test_items_of_more_rows_than_a_block_are_written(tmp_path: Path) -> None:
    lengths = (1, 5000, 3, 4096, 4095, 2)
    rows = [np.full((length, 4), number, np.float32) for number, length in enumerate(lengths)]
    features = written(tmp_path / "features.h5", audio=InMemoryTable(tuple("abcdef"), tuple(rows)))
    features.verify()
    np.testing.assert_array_equal(features.audio.flat, np.concatenate(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="audio features of 'bad' are not finite in row 1"):
        written(tmp_path / "features.h5", audio=broken_rows(value))
    assert not list(tmp_path.iterdir())


def test_rows_too_large_for_float32_are_not_written(tmp_path: Path) -> None:
    rows = np.full((1, 4), 1e300)
    with pytest.raises(DataError, match="are not finite in row 0"):
        written(tmp_path / "features.h5", audio=InMemoryTable(("x",), (rows,)))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3), (0, 4), (4,)])
def test_rows_of_a_wrong_shape_are_not_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"audio features of 'x' have shape .*, not \(1 or more, 4\)"):
        written(tmp_path / "features.h5", audio=InMemoryTable(("x",), (np.ones(shape, np.float32),)))


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_ids_that_hdf5_cannot_hold_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="audio id .* cannot be stored"):
        written(tmp_path / "features.h5", audio=InMemoryTable((name,), (np.ones((1, 4), np.float32),)))


def test_repeated_ids_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="audio id 'a' is repeated"):
        written(tmp_path / "features.h5", audio=items(("a", "b", "a"), 4))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features.h5: cannot be written \(.*\). Check the folder"):
        written(tmp_path / "no" / "features.h5")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path / "features.h5").path
    before = path.read_bytes()
    with pytest.raises(DataError, match="not finite"):
        written(path, audio=broken_rows(np.nan))
    assert path.read_bytes() == before


def test_rows_in_half_precision_are_read_as_float32(tmp_path: Path) -> None:
    single, half = written(tmp_path / "single.h5"), written(tmp_path / "half.h5", half=True)
    half.verify()
    assert (single.header.half, half.header.half) == (False, True)
    assert half.audio.flat.dtype == np.float16
    assert 2 * half.audio.byte_range.size == single.audio.byte_range.size
    for name in half.audio.ids:
        rows = half.audio.rows(name)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, single.audio.rows(name).astype(np.float16))
        np.testing.assert_allclose(rows, single.audio.rows(name), rtol=2**-11)
    assert half.text.rows(SENTENCES[0]).dtype == np.float32


def test_rows_in_half_precision_are_copied_bit_by_bit(tmp_path: Path) -> None:
    half = written(tmp_path / "half.h5", half=True)
    again = written(tmp_path / "again.h5", half=True, audio=half.audio, text=half.text)  # type: ignore[arg-type]
    assert half.path.read_bytes() == again.path.read_bytes()


def test_rows_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        written(tmp_path / "features.h5", half=True, audio=broken_rows(65_520))
    assert str(error.value) == (
        f"{tmp_path}/features.h5: audio features of 'bad' are beyond 65,504 in row 1, which half precision "
        "cannot hold. Extract them in single precision."
    )
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- what Python writes in place of HDF5


def written_by_hdf5(path: Path, audio: InMemoryTable, text: InMemoryTable) -> None:
    """Write a feature file without a digest, all of it by HDF5."""
    with h5py.File(path, "w", userblock_size=SIZE, alignment_threshold=1, alignment_interval=64) as file:
        file.attrs.update({"schema": SCHEMA, **HEADER.attributes})
        for name, table in (("audio", audio), ("text", text)):
            group, width = file.create_group(name), HEADER.width_of(name)
            rows = np.concatenate([np.zeros((0, width), np.float32), *table.rows])
            stored = group.create_dataset("rows", rows.shape, "<f4")
            if len(rows):
                stored[:] = rows
            ids = [own.encode() for own in table.ids]
            kind = h5py.string_dtype("utf-8", max(map(len, ids), default=1))
            group.create_dataset("id", data=np.array(ids, kind), dtype=kind)
            group.create_dataset("offset", data=np.cumsum([0, *table.lengths], dtype="<i8"))
            sums = [feature_file_writer.zlib.crc32(own.data) for own in table.rows]
            group.create_dataset("crc32", data=np.array(sums, "<u4"))
        file.attrs["complete"] = 1


@pytest.mark.parametrize(
    ("audio", "text"),
    [
        (items(NAMES, 4), items(SENTENCES, 3)),
        (InMemoryTable(), items(SENTENCES, 3)),
        (items(("a",), 4), InMemoryTable()),
        (InMemoryTable(), InMemoryTable()),
        (items(tuple(f"recording {number}" for number in range(150)), 4), items(NAMES, 3)),
    ],
    ids=["both", "text", "audio", "none", "many"],
)
def test_the_bytes_are_those_that_hdf5_would_write(
    tmp_path: Path, audio: InMemoryTable, text: InMemoryTable
) -> None:
    path = written(tmp_path / "features.h5", audio=audio, text=text).path
    written_by_hdf5(tmp_path / "expected.h5", audio, text)
    expected, content = (tmp_path / "expected.h5").read_bytes(), path.read_bytes()
    assert content[SIZE:] == expected[SIZE:]
    assert len(content) == len(expected)


class FullDisk:
    """A file on a disk that is full at one of its writes."""

    def __init__(self, file: IO[bytes], at: int) -> None:
        self.file, self.at, self.writes = file, at, 0

    def write(self, content: bytes) -> int:
        self.writes += 1
        if self.writes == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_disk_that_is_full_at_any_write_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, disks = Path.open, []

    def open_path(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = opened(path, mode, *arguments, **options)
        if mode != "wb":
            return file
        disks.append(FullDisk(file, len(disks) + 1))
        return disks[-1]

    monkeypatch.setattr(Path, "open", open_path)
    path = tmp_path / "features.h5"
    while not path.exists():
        try:
            written(path)
        except DataError as error:
            assert str(error) == (  # noqa: PT017  the last write does not fail
                f"{path}: cannot be written (No space left on device). Check the folder and the disk."
            )
            assert not list(tmp_path.iterdir())
    assert len(disks) == 6, "rows of audio and text, the bytes around them, and then none is left"
    written(path).verify()


@pytest.mark.parametrize("free", [0, 1 << 19])
def test_hdf5_writes_nothing_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(feature_file_writer.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"x.h5: cannot be written \(No space left on device\). Check the"):
        written(tmp_path / "x.h5")


def test_an_error_of_hdf5_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Can't decrement id ref count (file write failed)")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(DataError, match=r"x.h5: cannot be written \(Can't decrement id ref count"):
        written(tmp_path / "x.h5")
    assert not list(tmp_path.iterdir())
