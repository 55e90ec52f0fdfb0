"""Feature files: the features of one split by one encoder, in an HDF5 file.

The layout of `amrbench.features/1`: a digest in the user block (see `amrbench.files.file_digest`), the
attributes of `FeatureHeader` with `schema` and `complete`, and the groups `audio` and `text`, each with

    rows     (n_rows, D) float32 or float16, the rows of all items, concatenated
    id       (n,) UTF-8, the names of the items: ids of recordings; sentences, or a query's id, a tab and its
             sentence where features were imported
    offset   (n + 1,) int64, item i has the rows from offset[i] up to offset[i + 1]
    crc32    (n,) uint32, checksums of the rows of each item

All data sets are contiguous: h5py reads the index, numpy maps the rows. No HDF5 handle is open after
`open_feature_file`, so a `FeatureFile` can be pickled and used in forked processes. The digest covers
attributes and index; `crc32` covers the rows as they are stored. Rows are stored as float32, as encoders
compute them, or in half precision; readers get float32 in both cases.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError, did_you_mean, unreadable
from amrbench.files.file_digest import SIZE, ByteRange, read_digest, remedy
from amrbench.types import Rows

if TYPE_CHECKING:
    import h5py

SCHEMA = "amrbench.features/1"
Kind = Literal["audio", "text"]
KINDS: tuple[Kind, ...] = ("audio", "text")
TextBy = Literal["sentence", "qid", "qid and sentence"]
"""What names the text of a query."""
IMPORTED = "imported"
"""Fingerprint of an encoder whose published features were imported; which weights it had is not known."""
_TYPES: Mapping[str, tuple[str, ...]] = {
    "rows": ("<f4", "<f2"),
    "id": ("S",),
    "offset": ("<i8",),
    "crc32": ("<u4",),
}
"""Types of the data sets of a group, or their kinds."""


@dataclass(frozen=True)
class FeatureHeader:
    """The attributes of a feature file, and the type of its rows."""

    source: str
    """Description of the recordings and sentences."""
    backend: str
    """Name of the encoder."""
    fingerprint: str
    """Fingerprint of the encoder."""
    hop: float
    """Seconds between two audio rows."""
    audio_width: int
    text_width: int
    half: bool = False
    """Whether rows are stored in half precision; this is no attribute, the type of `rows` says it."""

    def __post_init__(self) -> None:
        if not 0 < self.hop < math.inf or self.audio_width < 1 or self.text_width < 1:
            raise ValueError(
                f"hop {self.hop} and widths {self.audio_width}, {self.text_width} must be above 0"
            )

    @property
    def text_by(self) -> TextBy:
        """Return what names a text in the file.

        Published texts have ids that may start again in each split, and what was encoded is known from the
        annotations alone; so ids and sentences name them. All other texts are encoded from their sentences.
        """
        return "qid and sentence" if self.fingerprint == IMPORTED else "sentence"

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Return the type in which rows are stored."""
        return row_type(half=self.half)

    @property
    def attributes(self) -> dict[str, str | float]:
        """Return what is stored as attributes."""
        return {name: value for name, value in asdict(self).items() if name != "half"}

    def width_of(self, kind: str) -> int:
        """Return the width of the rows of a group."""
        return self.audio_width if kind == "audio" else self.text_width


class RowTable(Protocol):
    """Items in a fixed order, each a number of rows; in memory, or read on request."""

    @property
    def ids(self) -> Sequence[str]:
        """Return the name of each item."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return (n,) the number of rows of each item."""

    def item(self, index: int) -> Rows:
        """Return (length, D) of the item at an index."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """A table in a feature file; its rows are mapped into memory when they are first used."""

    path: Path
    kind: str
    ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    """(n + 1,)"""
    checksums: NDArray[np.uint32]
    width: int
    start: int
    """Position of the first row in the file, in bytes."""
    half: bool = False
    """Whether rows are stored in half precision."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return (n,) the number of rows of each item."""
        return np.diff(self.offsets)

    @cached_property
    def flat(self) -> NDArray[np.floating]:
        """Return (n_rows, D), read-only, the rows of all items as they are stored, concatenated."""
        shape, dtype = (int(self.offsets[-1]), self.width), row_type(half=self.half)
        if not shape[0]:
            return np.zeros(shape, dtype)
        try:
            return np.memmap(self.path, dtype, mode="r", offset=self.start, shape=shape)
        except OSError as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def _indices(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.ids)}

    def index(self, name: str) -> int:
        """Return the index of an item.

        Raises:
            DataError: The file has no item of this name.
        """
        if name not in self._indices:
            raise DataError(
                f"{self.path}: there are no {self.kind} features of {name!r} among {len(self.ids)} items."
                f"{did_you_mean(name, self.ids)} Check that annotations and features belong together."
            )
        return self._indices[name]

    def item(self, index: int) -> Rows:
        """Return (length, D) in float32, not to be changed, the rows of the item at an index."""
        return self._stored(index).astype(np.float32, copy=False)

    def _stored(self, index: int) -> NDArray[np.floating]:
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, name: str) -> Rows:
        """Return (length, D), as `item` does, of an item; DataError if there is none of this name."""
        return self.item(self.index(name))

    def length(self, name: str) -> int:
        """Return the number of rows of an item; DataError if there is none of this name."""
        index = self.index(name)
        return int(self.offsets[index + 1] - self.offsets[index])

    @property
    def byte_range(self) -> ByteRange:
        """Return the bytes of the rows in the file."""
        return ByteRange(self.start, row_type(half=self.half).itemsize * self.width * int(self.offsets[-1]))

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Read rows and compare them with their checksums.

        Args:
            names: Names of the items; all by default.

        Raises:
            DataError: Rows have changed since they were written, are not finite, or there is no such item.
        """
        for name in self.ids if names is None else names:
            index = self.index(name)
            rows = self._stored(index)
            actual, stored = zlib.crc32(rows.data), int(self.checksums[index])
            if actual != stored:
                raise DataError(
                    f"{self.path}: {self.kind}/rows of item {index} ({name!r}) have changed on disk: "
                    f"checksum {actual:#010x}, stored {stored:#010x}. {remedy(self.path)}"
                )
            if not np.isfinite(rows).all():
                raise DataError(
                    f"{self.path}: {self.kind}/rows of item {index} ({name!r}) are not finite. "
                    f"{remedy(self.path)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped rows; another process maps them itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """An open feature file. Its index is checked and in memory; its rows are read on request."""

    path: Path
    header: FeatureHeader
    digest: str
    """Hash of the file, with the checksums of the rows in place of the rows."""
    audio: FeatureTable
    """Rows of recordings, by id."""
    text: FeatureTable
    """Rows of sentences, by the sentence."""

    def verify(self) -> None:
        """Check all rows of the file; `open_feature_file` checks the rest.

        Raises:
            DataError: Rows have changed since they were written, or are not finite.
        """
        self.audio.verify()
        self.text.verify()


def open_feature_file(path: Path) -> FeatureFile:
    """Open a feature file and check its length, header and index, but not its rows.

    Raises:
        DataError: There is no such file, or it is truncated, unfinished, damaged or of another format.
    """
    import h5py  # here and below, because commands that open no feature file import this module

    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such feature file.")
    except OSError as error:
        raise unreadable(path, error) from error
    digest = read_digest(path, SCHEMA)
    try:
        # Files are never changed, and some shared file systems have no locks.
        with h5py.File(path, "r", locking=False) as file:
            if _attribute(file, "complete", int, path) != 1:
                raise DataError(f"{path}: the file was never finished ('complete' is not 1). {remedy(path)}")
            kinds = {name: kind for name, kind in get_type_hints(FeatureHeader).items() if name != "half"}
            attributes = {name: _attribute(file, name, kind, path) for name, kind in kinds.items()}
            header = FeatureHeader(**attributes, half=_is_half(file, path))
            audio, text = (_table(file, kind, header.width_of(kind), path) for kind in KINDS)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error).strip("'\"")
        raise DataError(f"{path}: not an HDF5 feature file ({reason}). {remedy(path)}") from error
    if tuple(sorted([audio.byte_range, text.byte_range])) != digest.rows:
        raise DataError(f"{path}: the rows are not at the positions in the digest. {remedy(path)}")
    return FeatureFile(path, header, digest.sha256, audio, text)


def _attribute(file: h5py.File, name: str, kind: type, path: Path) -> Any:
    value = file.attrs.get(name)
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is not kind:
        raise DataError(f"{path}: attribute {name!r} is {value!r}, not a {kind.__name__}. {remedy(path)}")
    return value


def _is_half(file: h5py.File, path: Path) -> bool:
    """Whether the rows of a file are stored in half precision."""
    types = {_dataset(file, f"{kind}/rows", _TYPES["rows"], path).dtype for kind in KINDS}
    if len(types) > 1:
        raise DataError(f"{path}: the rows of {' and '.join(KINDS)} have different types. {remedy(path)}")
    return types == {row_type(half=True)}


def _table(file: h5py.File, kind: str, width: int, path: Path) -> FeatureTable:
    columns = {name: _dataset(file, f"{kind}/{name}", expected, path) for name, expected in _TYPES.items()}
    rows = columns["rows"]
    names, offsets, checksums = (columns[name][()] for name in ("id", "offset", "crc32"))
    if names.shape != checksums.shape or offsets.shape != (len(names) + 1,) or rows.shape[1:] != (width,):
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise DataError(f"{path}: the sizes in {kind!r} do not fit together ({shapes}). {remedy(path)}")
    if offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 1).any():
        raise DataError(
            f"{path}: {kind}/offset does not rise from 0 to {len(rows)}, the number of rows. {remedy(path)}"
        )
    ids = tuple(name.decode("utf-8") for name in names.tolist())
    return FeatureTable(
        path, kind, ids, offsets, checksums, width, byte_range(rows).start, rows.dtype.itemsize == 2
    )


def _dataset(file: h5py.File, name: str, expected: tuple[str, ...], path: Path) -> h5py.Dataset:
    """Return a data set that numpy can map: in one piece, in this file, of an expected type."""
    import h5py

    # A soft or external link could lead into another file.
    steps = (name.partition("/")[0], name)
    inside = all(isinstance(file.get(step, getlink=True), h5py.HardLink) for step in steps)
    data = file.get(name) if inside else None
    if not isinstance(data, h5py.Dataset) or not {data.dtype.kind, data.dtype.str} & {*expected}:
        raise DataError(f"{path}: there is no data set {name!r} of the right type. {remedy(path)}")
    # Only contiguous data sets in this file have an offset; an empty one needs no bytes.
    if data.size and (data.id.get_offset() is None or byte_range(data).stop > path.stat().st_size):
        raise DataError(f"{path}: data set {name!r} is not stored in one piece in this file. {remedy(path)}")
    return data


def row_type(*, half: bool) -> np.dtype[np.floating]:
    """Return the type in which rows are stored."""
    return np.dtype("<f2" if half else "<f4")


def byte_range(data: h5py.Dataset) -> ByteRange:
    """Return the bytes of a contiguous data set in the file; an empty one is put after the user block."""
    return ByteRange(data.id.get_offset(), data.nbytes) if data.size else ByteRange(SIZE, 0)
