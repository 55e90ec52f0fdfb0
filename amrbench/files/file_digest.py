"""The digest of a feature file, which is checked before HDF5 reads the file.

HDF5 does not check what it reads: one flipped bit in its metadata can cause an endless loop. Therefore the
user block, the first bytes of a file that HDF5 ignores, has the length of the file, the byte ranges of the
feature rows, and a hash of all other bytes. It is written last, so an unfinished file has none. The digest
detects damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ConfigDict, NonNegativeInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from amrbench.errors import DataError, unreadable

SIZE = 512
"""Bytes of the user block."""
_OF_DATASETS = "features"
"""Folder of feature files in the folder of a data set, where nothing makes them again by itself."""
_CHUNK = 1 << 20  # bytes that are read at a time


class ByteRange(NamedTuple):
    """Consecutive bytes of a file."""

    start: NonNegativeInt
    size: NonNegativeInt

    @property
    def stop(self) -> int:
        """Return the position of the first byte after them."""
        return self.start + self.size


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class FileDigest:
    """What the user block of a file says about its bytes."""

    schema: str
    length: NonNegativeInt
    """Bytes of the file."""
    rows: tuple[ByteRange, ...]
    """Byte ranges that the hash leaves out, in ascending order; rows have checksums of their own."""
    sha256: str
    """Hash of all other bytes after the user block, and of the other attributes."""


_DIGEST = TypeAdapter(FileDigest)


def write_digest(path: Path, schema: str, rows: Sequence[ByteRange]) -> None:
    """Write the digest into the user block of a finished file."""
    with path.open("r+b") as file:
        digest = FileDigest(schema, file.seek(0, 2), tuple(sorted(rows)), "")
        digest = replace(digest, sha256=_hash(file, digest))
        file.seek(0)
        file.write(json.dumps(asdict(digest)).encode().ljust(SIZE, b"\0"))


def read_digest(path: Path, schema: str) -> FileDigest:
    """Read the digest of a file and compare it with the file.

    Raises:
        DataError: The file has no digest, another schema, another length or other bytes.
    """
    try:
        with path.open("rb") as file:
            digest = _DIGEST.validate_json(file.read(SIZE).rstrip(b"\0"))
            length = file.seek(0, 2)
            ends = [SIZE, *(end for rows in digest.rows for end in (rows.start, rows.stop)), length]
            if digest.schema != schema:
                fault = f"the schema is {digest.schema!r}; this version reads {schema!r}"
            elif digest.length != length:
                fault = f"truncated: {length} bytes are left of {digest.length}"
            elif ends != sorted(ends):
                fault = "the byte ranges in the digest overlap or are outside of the file"
            elif _hash(file, digest) != digest.sha256:
                fault = "header or index have changed on disk"
            else:
                return digest
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError:
        fault = "not a feature file, or one that was never finished"
    raise DataError(f"{path}: {fault}. {remedy(path)}")


def remedy(path: Path) -> str:
    """Return what to do about a feature file that cannot be used, as a sentence."""
    if path.absolute().parent.name == _OF_DATASETS:
        return (
            "Delete the file, and import or extract its content again with 'amrbench data import' or "
            "'amrbench data extract'."
        )
    return "Delete the file; its content is made again when it is needed."


def _hash(file: IO[bytes], digest: FileDigest) -> str:
    sha256 = hashlib.sha256(json.dumps([digest.schema, digest.length, digest.rows]).encode())
    starts = [SIZE, *(rows.stop for rows in digest.rows)]
    stops = [*(rows.start for rows in digest.rows), digest.length]
    for start, stop in zip(starts, stops, strict=True):
        file.seek(start)
        for position in range(start, stop, _CHUNK):
            sha256.update(file.read(min(_CHUNK, stop - position)))
    return sha256.hexdigest()
