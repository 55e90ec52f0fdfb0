"""Write feature files; see `amrbench.files.feature_file` for the layout.

HDF5 ends the process if the disk is full while it writes rows. So it lays out a small file without them,
where there is room, and Python writes all bytes.
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from amrbench.errors import DataError, some
from amrbench.files.atomic import atomic_path
from amrbench.files.feature_file import KINDS, SCHEMA, FeatureHeader, RowTable, byte_range
from amrbench.files.file_digest import SIZE, ByteRange, write_digest
from amrbench.types import Rows

if TYPE_CHECKING:
    import h5py

_ALIGNMENT = 64  # bytes, so that mapped rows are aligned
_BLOCK = 4096  # rows that are written at a time, about
_SPARE = 1 << 20  # bytes, for what HDF5 writes besides the index


@dataclass(frozen=True, eq=False)
class InMemoryTable(RowTable):
    """A table in memory."""

    ids: tuple[str, ...] = ()
    rows: tuple[Rows, ...] = ()

    @property
    @override
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(rows) for rows in self.rows], dtype=np.int64)

    @override
    def item(self, index: int) -> Rows:
        return self.rows[index]


@dataclass(frozen=True, eq=False)
class ConcatTable(RowTable):
    """The concatenation of several tables; one item is in memory at a time."""

    tables: tuple[RowTable, ...]

    @cached_property
    @override
    def ids(self) -> tuple[str, ...]:
        return tuple(name for table in self.tables for name in table.ids)

    @cached_property
    @override
    def lengths(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(table.lengths for table in self.tables)])

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(table.ids) for table in self.tables)])

    @override
    def item(self, index: int) -> Rows:
        table = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.tables[table].item(index - int(self._starts[table]))


@dataclass(frozen=True, eq=False)
class SelectedTable(RowTable):
    """Items of a table, in another order and with other names; an item may be used several times."""

    table: RowTable
    names: Mapping[str, str]
    """New name to name in the table, in the new order."""

    @cached_property
    def _indices(self) -> list[int]:
        known = {name: index for index, name in enumerate(self.table.ids)}
        return [known[name] for name in self.names.values()]

    @cached_property
    @override
    def ids(self) -> tuple[str, ...]:
        return tuple(self.names)

    @property
    @override
    def lengths(self) -> NDArray[np.int64]:
        return np.asarray(self.table.lengths)[self._indices].astype(np.int64)

    @override
    def item(self, index: int) -> Rows:
        return self.table.item(self._indices[index])


def write_feature_file(path: Path, header: FeatureHeader, *, audio: RowTable, text: RowTable) -> None:
    """Write a feature file, whole or not at all; the same input gives the same bytes.

    Raises:
        DataError: The file cannot be written, a name is repeated or cannot be stored, or an item has no rows,
            rows of a wrong width or rows that are not finite.
    """
    import h5py  # here and below, because commands that write no feature file import this module

    try:
        with atomic_path(path) as part:
            with _scratch_path(path, (audio, text)) as scratch, part.open("wb") as out:
                with h5py.File(scratch, "w", userblock_size=SIZE, alignment_threshold=1,
                               alignment_interval=_ALIGNMENT, locking=False) as file:  # fmt: skip
                    file.attrs.update({"schema": SCHEMA, **header.attributes})
                    for kind, table in zip(KINDS, (audio, text), strict=True):
                        _write_table(file.create_group(kind), table, header, path, out)
                    file.attrs["complete"] = 1
                    rows = sorted(byte_range(file[f"{kind}/rows"]) for kind in KINDS)
                _copy_others(scratch, out, rows)
            write_digest(part, SCHEMA, rows)
    except (OSError, RuntimeError) as error:  # HDF5 raises both.
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be written ({reason}). Check the folder and the disk.") from error


@contextmanager
def _scratch_path(path: Path, tables: Sequence[RowTable]) -> Iterator[Path]:
    """Offer a path where HDF5 has room for all but the rows.

    Raises:
        OSError: The disk is full.
    """
    longest = [4 * max(map(len, table.ids), default=0) for table in tables]  # bytes
    needed = _SPARE + sum((long + 12) * len(table.ids) for long, table in zip(longest, tables, strict=True))
    folders = [Path(gettempdir()), path.parent]
    roomy = (folder for folder in folders if shutil.disk_usage(folder).free > needed)
    if not (folder := next(roomy, None)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with TemporaryDirectory(prefix="amrbench-", dir=folder) as scratch:
        yield Path(scratch) / "layout.h5"


def _copy_others(scratch: Path, out: IO[bytes], rows: Sequence[ByteRange]) -> None:
    """Copy the bytes of a file except for its rows, whose ranges are in ascending order."""
    with scratch.open("rb") as laid_out:
        length = laid_out.seek(0, os.SEEK_END)
        starts, stops = [0, *(own.stop for own in rows)], [*(own.start for own in rows), length]
        for start, stop in zip(starts, stops, strict=True):
            laid_out.seek(start)
            out.seek(start)
            out.write(laid_out.read(stop - start))
        out.truncate(length)


def _write_table(
    group: h5py.Group, table: RowTable, header: FeatureHeader, path: Path, out: IO[bytes]
) -> None:
    """Lay out a table in a group, and write its rows to `out`."""
    import h5py

    kind = group.name.strip("/")
    width, dtype = header.width_of(kind), header.dtype
    names = [name.encode("utf-8", "ignore") for name in table.ids]
    for name, stored in zip(table.ids, names, strict=True):
        if not stored or b"\0" in stored or stored.decode("utf-8") != name:
            raise DataError(
                f"{path}: {kind} id {name!r} cannot be stored; use text without NUL and lone surrogates."
            )
    if repeated := sorted(name for name, count in Counter(table.ids).items() if count > 1):
        raise DataError(f"{path}: {kind} id {some(repeated)} is repeated; give each item its own id.")
    offsets = np.concatenate([[0], np.cumsum(table.lengths)]).astype("<i8")
    rows = group.create_dataset("rows", (int(offsets[-1]), width), dtype)
    if rows.size:
        rows[-1] = 0  # Only what is written to has a position; what is left out takes no room.
        out.seek(byte_range(rows).start)
    checksums: list[int] = []
    # In blocks of items, because a write for each item is slow.
    for _, block in groupby(range(len(names)), lambda index: offsets[index] // _BLOCK):
        named = ((f"{path}: {kind} features of {table.ids[index]!r}", table.item(index)) for index in block)
        items = [_stored(_checked(item, width, what), dtype, what) for what, item in named]
        checksums += [zlib.crc32(item.data) for item in items]
        out.write(np.concatenate(items).data)
    text = h5py.string_dtype("utf-8", max([len(name) for name in names], default=1))
    group.create_dataset("id", data=np.array(names, text), dtype=text)
    group.create_dataset("offset", data=offsets)
    group.create_dataset("crc32", data=np.array(checksums, "<u4"))


def _checked(item: Rows, width: int, what: str) -> Rows:
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which is refused below
        rows = np.ascontiguousarray(item, "<f4")
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(f"{what} have shape {rows.shape}, not (1 or more, {width}).")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{what} are not finite in row {finite.argmin()}; the encoder or its input is broken."
        )
    return rows


def _stored(rows: Rows, dtype: np.dtype[np.floating], what: str) -> NDArray[np.floating]:
    if rows.dtype == dtype:
        return rows
    with np.errstate(over="ignore"):  # refused below
        stored = rows.astype(dtype, copy=False)
    finite = np.isfinite(stored).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{what} are beyond {np.finfo(dtype).max:,.0f} in row {finite.argmin()}, which half precision "
            "cannot hold. Extract them in single precision."
        )
    return stored
