"""Write feature files; see `amrbench.files.feature_file` for the layout."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError, some
from amrbench.files.atomic import atomic_path
from amrbench.files.feature_file import KINDS, SCHEMA, FeatureHeader, Rows, RowTable, byte_range
from amrbench.files.file_digest import SIZE, write_digest

_ALIGNMENT = 64
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class InMemoryTable:
    """A table in memory."""

    ids: tuple[str, ...] = ()
    rows: tuple[Rows, ...] = ()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return (n,) the number of rows of each item."""
        return np.array([len(each) for each in self.rows], dtype=np.int64)

    def item(self, index: int) -> Rows:
        """Return (length, D) of the item at an index."""
        return self.rows[index]


@dataclass(frozen=True, eq=False)
class ConcatTable:
    """Several tables, one after another; one item is in memory at a time."""

    tables: tuple[RowTable, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Return the name of each item."""
        return tuple(each for table in self.tables for each in table.ids)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return (n,) the number of rows of each item."""
        return np.concatenate([np.zeros(0, np.int64), *(table.lengths for table in self.tables)])

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(table.ids) for table in self.tables)])

    def item(self, index: int) -> Rows:
        """Return (length, D) of the item at an index."""
        table = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.tables[table].item(index - int(self._starts[table]))


@dataclass(frozen=True, eq=False)
class SelectedTable:
    """Items of a table in another order and under other names, of which several may mean the same item."""

    table: RowTable
    names: Mapping[str, str]
    """Name in the table by new name."""

    @cached_property
    def _indices(self) -> list[int]:
        known = {name: index for index, name in enumerate(self.table.ids)}
        return [known[name] for name in self.names.values()]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Return the name of each item."""
        return tuple(self.names)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return (n,) the number of rows of each item."""
        return np.asarray(self.table.lengths)[self._indices].astype(np.int64)

    def item(self, index: int) -> Rows:
        """Return (length, D) of the item at an index."""
        return self.table.item(self._indices[index])


def write_feature_file(path: Path, header: FeatureHeader, *, audio: RowTable, text: RowTable) -> None:
    """Write a feature file, whole or not at all; the same input gives the same bytes.

    Raises:
        DataError: The file cannot be written, a name stands twice, or rows have a wrong width, are none
            or are not finite.
    """
    try:
        with atomic_path(path) as part:
            with h5py.File(part, "w", userblock_size=SIZE, alignment_threshold=1,
                           alignment_interval=_ALIGNMENT) as file:  # fmt: skip
                _fill(file, header, {"audio": audio, "text": text}, path)
                rows = [byte_range(file[f"{kind}/rows"]) for kind in KINDS]
            write_digest(part, SCHEMA, rows)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be written ({reason}). Check the folder and the disk.") from error


def _fill(file: h5py.File, header: FeatureHeader, tables: Mapping[str, RowTable], path: Path) -> None:
    file.attrs["schema"] = SCHEMA
    for name, value in asdict(header).items():
        file.attrs[name] = value
    for kind in KINDS:
        _fill_group(file.create_group(kind), tables[kind], header, path)
    file.attrs["complete"] = 1


def _fill_group(group: h5py.Group, table: RowTable, header: FeatureHeader, path: Path) -> None:
    kind = group.name.strip("/")
    names = [_encoded(name, kind, path) for name in table.ids]
    _refuse_twice(table.ids, kind, path)
    offsets = np.concatenate([[0], np.cumsum(table.lengths)]).astype("<i8")
    rows = group.create_dataset("rows", (int(offsets[-1]), header.width_of(kind)), "<f4")
    checksums = np.zeros(len(names), "<u4")
    end = 0
    for block in _blocks(offsets):
        items = [_sound(table.item(index), rows.shape[1], _what(kind, table, index), path) for index in block]
        checksums[block.start : block.stop] = [zlib.crc32(item.data) for item in items]
        start, end = end, end + sum(len(item) for item in items)
        rows[start:end] = np.concatenate(items)
    width = max([len(name) for name in names], default=1)
    kind_of_name = h5py.string_dtype("utf-8", width)
    group.create_dataset("id", data=np.array(names, kind_of_name), dtype=kind_of_name)
    group.create_dataset("offset", data=offsets)
    group.create_dataset("crc32", data=checksums)


def _blocks(offsets: NDArray[np.int64]) -> Iterator[range]:
    """Cut items into ranges with about `_BLOCK` rows each: a write for each item is slow."""
    first, last = 0, len(offsets) - 1
    while first < last:
        stop = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _BLOCK, side="right")) - 1)
        yield range(first, stop)
        first = stop


def _what(kind: str, table: RowTable, index: int) -> str:
    return f"{kind} features of {table.ids[index]!r}"


def _encoded(name: str, kind: str, path: Path) -> bytes:
    try:
        data = name.encode("utf-8")
    except UnicodeEncodeError:
        data = b"\0"
    if not data or b"\0" in data:
        raise DataError(
            f"{path}: {kind} id {name!r} cannot be stored; use text without NUL and lone surrogates."
        )
    return data


def _refuse_twice(names: Sequence[str], kind: str, path: Path) -> None:
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f"{path}: {kind} id {some(twice)} stands twice; give each item its own id.")


def _sound(item: Rows, width: int, what: str, path: Path) -> Rows:
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(item, "<f4")
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(f"{path}: {what} have shape {rows.shape}, not (1 or more, {width}).")
    if not np.isfinite(rows).all():
        index = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise DataError(f"{path}: {what} are not finite in row {index}; the encoder or its input is broken.")
    return rows
