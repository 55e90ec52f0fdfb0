"""The digest of a feature file, which is checked before HDF5 reads the file.

HDF5 does not check what it reads: one flipped bit in its metadata can cause an endless loop. Therefore the
user block, the first bytes of a file that HDF5 ignores, has the length of the file, the byte ranges of the
feature rows, and a hash of all other bytes. It is written last, so an unfinished file has none. The digest
detects damage, not forgery.
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
"""Bytes of the user block."""
REMEDY = "Delete the file; its content is made again when it is needed."
_KEYS = {"schema", "length", "rows", "sha256"}
_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class ByteRange:
    """Consecutive bytes of a file."""

    start: int
    count: int

    @property
    def stop(self) -> int:
        """Return the position of the first byte after them."""
        return self.start + self.count


@dataclass(frozen=True)
class FileDigest:
    """What the user block of a file says about its bytes."""

    schema: str
    length: int
    """Bytes of the file."""
    rows: tuple[ByteRange, ...]
    """Byte ranges that the hash leaves out, in ascending order; rows have checksums of their own."""
    sha256: str
    """Hash of all other bytes after the user block, and of the other attributes."""


def write_digest(path: Path, schema: str, rows: Sequence[ByteRange]) -> None:
    """Write the digest into the user block of a finished file."""
    with path.open("r+b") as file:
        length = file.seek(0, 2)
        digest = FileDigest(schema, length, tuple(sorted(rows)), "")
        content = {"schema": schema, "length": length, "rows": _pairs(digest), "sha256": _hash(file, digest)}
        file.seek(0)
        file.write(json.dumps(content).encode().ljust(SIZE, b"\0"))


def read_digest(path: Path, schema: str) -> FileDigest:
    """Read the digest of a file and compare it with the file.

    Raises:
        DataError: The file has no digest, another schema, another length or other bytes.
    """
    try:
        with path.open("rb") as file:
            digest = _parse(file.read(SIZE), path)
            _compare(digest, path.stat().st_size, schema, path)
            if _hash(file, digest) != digest.sha256:
                raise DataError(f"{path}: header or index have changed on disk. {REMEDY}")
            return digest
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def _parse(block: bytes, path: Path) -> FileDigest:
    try:
        content = json.loads(block.rstrip(b"\0"))
        if not isinstance(content, Mapping) or content.keys() != _KEYS:
            raise ValueError("unknown keys")
        rows = tuple(ByteRange(_count(start), _count(count)) for start, count in content["rows"])
        return FileDigest(str(content["schema"]), _count(content["length"]), rows, str(content["sha256"]))
    except (ValueError, TypeError, RecursionError):
        raise DataError(f"{path}: not a feature file, or one that was never finished. {REMEDY}") from None


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number of bytes")
    return value


def _compare(digest: FileDigest, length: int, schema: str, path: Path) -> None:
    if digest.schema != schema:
        raise DataError(f"{path}: the schema is {digest.schema!r}; this version reads {schema!r}. {REMEDY}")
    if digest.length != length:
        raise DataError(f"{path}: truncated: {length} bytes are left of {digest.length}. {REMEDY}")
    ends = [SIZE, *(end for rows in digest.rows for end in (rows.start, rows.stop)), length]
    if ends != sorted(ends):
        raise DataError(f"{path}: the byte ranges in the digest overlap or are outside of the file. {REMEDY}")


def _hash(file: IO[bytes], digest: FileDigest) -> str:
    sha256 = hashlib.sha256(json.dumps([digest.schema, digest.length, _pairs(digest)]).encode())
    starts = [SIZE, *(rows.stop for rows in digest.rows)]
    stops = [*(rows.start for rows in digest.rows), digest.length]
    for start, stop in zip(starts, stops, strict=True):
        file.seek(start)
        while start < stop:
            data = file.read(min(_CHUNK, stop - start))
            if not data:
                break
            sha256.update(data)
            start += len(data)
    return sha256.hexdigest()


def _pairs(digest: FileDigest) -> list[list[int]]:
    return [[rows.start, rows.count] for rows in digest.rows]
