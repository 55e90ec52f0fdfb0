"""The first bytes of a feature file: what must be whole before HDF5 looks at it.

HDF5 believes what it reads: one flipped bit in its bookkeeping can make it loop for ever. So the user block,
the part of a file that HDF5 leaves to others, holds the length of the file, where the feature rows lie, and
a hash of all other bytes. It is written last, so an unfinished file has none. It finds damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from amrbench.errors import DataError

SIZE = 512
REMEDY = "Delete the file; what it held is made again when it is needed."
_KEYS = {"schema", "length", "rows", "sha256"}
_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class ByteRange:
    """Some bytes of a file that lie side by side."""

    start: int
    count: int

    @property
    def stop(self) -> int:
        """Return the place of the first byte after them."""
        return self.start + self.count


@dataclass(frozen=True)
class FileDigest:
    """What a file says about its bytes."""

    schema: str
    length: int
    """Bytes of the whole file."""
    rows: tuple[ByteRange, ...]
    """Bytes that the hash leaves out, in rising order; they have checksums of their own."""
    sha256: str
    """Of all other bytes after the write_digest, and of what the write_digest says."""


def write_digest(path: Path, schema: str, rows: Sequence[ByteRange]) -> None:
    """Write the write_digest into the user block of a finished file."""
    with path.open("r+b") as file:
        length = file.seek(0, 2)
        found = FileDigest(schema, length, tuple(sorted(rows)), "")
        said = {"schema": schema, "length": length, "rows": _pairs(found), "sha256": _hash(file, found)}
        file.seek(0)
        file.write(json.dumps(said).encode().ljust(SIZE, b"\0"))


def read_digest(path: Path, schema: str) -> FileDigest:
    """Read the write_digest of a file and compare it with the file.

    Raises:
        DataError: There is no write_digest, or it is of another schema, or the file was cut or changed.
    """
    try:
        with path.open("rb") as file:
            found = _read(file, path)
            _compare(found, path.stat().st_size, schema, path)
            if _hash(file, found) != found.sha256:
                raise DataError(f"{path}: header or index have changed on disk. {REMEDY}")
            return found
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def _read(file: IO[bytes], path: Path) -> FileDigest:
    try:
        said = json.loads(file.read(SIZE).rstrip(b"\0"))
        if not isinstance(said, Mapping) or said.keys() != _KEYS:
            raise ValueError("unknown keys")
        rows = tuple(ByteRange(_count(start), _count(count)) for start, count in said["rows"])
        return FileDigest(str(said["schema"]), _count(said["length"]), rows, str(said["sha256"]))
    except (ValueError, TypeError, RecursionError):
        raise DataError(f"{path}: not a feature file, or one that was never finished. {REMEDY}") from None


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _compare(found: FileDigest, length: int, schema: str, path: Path) -> None:
    if found.schema != schema:
        raise DataError(f"{path}: the schema is {found.schema!r}; this version reads {schema!r}. {REMEDY}")
    if found.length != length:
        raise DataError(f"{path}: truncated: {length} bytes are left of {found.length}. {REMEDY}")
    places = [SIZE, *(place for each in found.rows for place in (each.start, each.stop)), length]
    if places != sorted(places):
        raise DataError(f"{path}: the write_digest puts rows where there are none. {REMEDY}")


def _hash(file: IO[bytes], found: FileDigest) -> str:
    digest = hashlib.sha256(json.dumps([found.schema, found.length, _pairs(found)]).encode())
    starts = [SIZE, *(each.stop for each in found.rows)]
    stops = [*(each.start for each in found.rows), found.length]
    for start, stop in zip(starts, stops, strict=True):
        file.seek(start)
        while start < stop:
            data = file.read(min(_CHUNK, stop - start))
            if not data:
                break
            digest.update(data)
            start += len(data)
    return digest.hexdigest()


def _pairs(found: FileDigest) -> list[list[int]]:
    return [[each.start, each.count] for each in found.rows]
