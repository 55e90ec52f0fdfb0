from __future__ import annotations

from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.file_digest import SIZE, ByteRange, FileDigest, read_digest, remedy, write_digest

SCHEMA = "toy/1"
ROWS = [ByteRange(SIZE + 200, 40), ByteRange(SIZE + 100, 0)]
LENGTH = SIZE + 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "toy.h5"
    file.write_bytes(bytes(SIZE) + bytes(range(100)) * 3)
    write_digest(file, SCHEMA, ROWS)
    return file


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_written_digest_is_read_with_sorted_rows(path: Path) -> None:
    digest = read_digest(path, SCHEMA)
    assert digest == FileDigest(SCHEMA, LENGTH, (ROWS[1], ROWS[0]), digest.sha256)
    assert path.stat().st_size == LENGTH


def test_the_digest_does_not_change_the_rest_of_the_file(path: Path) -> None:
    assert path.read_bytes()[SIZE:] == bytes(range(100)) * 3


def test_it_depends_on_the_bytes_outside_of_the_rows_only(path: Path) -> None:
    before = read_digest(path, SCHEMA)
    for position in (SIZE + 200, SIZE + 239):
        flip(path, position)
    assert read_digest(path, SCHEMA) == before
    flip(path, SIZE + 240)
    write_digest(path, SCHEMA, ROWS)
    assert read_digest(path, SCHEMA).sha256 != before.sha256


@pytest.mark.parametrize("position", [SIZE, SIZE + 199, SIZE + 240, LENGTH - 1])
def test_a_changed_byte_is_found(path: Path, position: int) -> None:
    flip(path, position)
    with pytest.raises(DataError, match="toy.h5: header or index have changed on disk. Delete the file"):
        read_digest(path, SCHEMA)


@pytest.mark.parametrize("length", [SIZE, SIZE + 1, LENGTH - 1])
def test_truncated_files_are_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        DataError, match=rf"toy.h5: truncated: {length} bytes are left of {LENGTH}. Delete the file"
    ):
        read_digest(path, SCHEMA)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89HDF\r\n", b"not HDF5 at all" * 500, b'{"schema": 1}', b"[" * 100_000, b"7", bytes(SIZE)],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "toy.h5"
    path.write_bytes(data)
    with pytest.raises(
        DataError, match="not a feature file, or one that was never finished. Delete the file"
    ):
        read_digest(path, SCHEMA)


def test_a_later_schema_is_refused(path: Path) -> None:
    write_digest(path, "toy/9", ROWS)
    with pytest.raises(DataError, match="toy.h5: the schema is 'toy/9'; this version reads 'toy/1'"):
        read_digest(path, SCHEMA)


@pytest.mark.parametrize(
    "rows", [[ByteRange(10, 4)], [ByteRange(600, 40), ByteRange(620, 40)], [ByteRange(600, 10**9)]]
)
def test_rows_outside_of_the_file_are_refused(path: Path, rows: list[ByteRange]) -> None:
    write_digest(path, SCHEMA, rows)
    with pytest.raises(DataError, match="the byte ranges in the digest overlap or are outside of the file"):
        read_digest(path, SCHEMA)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.h5: cannot be read \(No such file or directory\)"):
        read_digest(tmp_path / "none.h5", SCHEMA)


def test_features_of_a_data_set_are_not_said_to_be_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = path.parent / "set" / "features" / "clap.h5"
    imported.parent.mkdir(parents=True)
    imported.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as error:
        read_digest(imported, SCHEMA)
    assert str(error.value) == (
        f"{imported}: truncated: {LENGTH - 1} bytes are left of {LENGTH}. Delete the file, and import or "
        "extract its content again with 'amrbench data import' or 'amrbench data extract'."
    )
    assert remedy(path) == "Delete the file; its content is made again when it is needed."
    monkeypatch.chdir(imported.parent)
    assert remedy(Path("clap.h5")) == remedy(imported)
