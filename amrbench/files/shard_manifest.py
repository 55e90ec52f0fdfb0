"""The manifest of a folder of feature files: what each of them holds, so that nobody lists or opens them all.

`manifest.jsonl` has one JSON object a line: `shard`, the name of the feature file; `recordings`, their
names; `rows` and `bytes`, how many it has; `sha256` of the file; `encoder` and its `fingerprint`; and `half`,
whether rows are stored in half precision. It is written last: a folder without it was never finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amrbench.files.checksums import file_sha256
from amrbench.files.feature_file import open_feature_file
from amrbench.files.jsonl import KeyRule, Row, list_fault, read_rows, shown, text_fault, write_rows

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class ShardEntry:
    """What a manifest says about a feature file; see the module."""

    shard: str
    recordings: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    encoder: str
    fingerprint: str
    half: bool

    def fault_in(self, folder: Path) -> str:
        """Return how the feature file differs from its entry, or an empty string; the whole file is read."""
        file = folder / self.shard
        try:
            size = file.stat().st_size
            if size != self.bytes:
                return f"has {size:,} bytes, not {self.bytes:,}"
            return "" if file_sha256(file) == self.sha256 else "has changed"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"


def entry_of(file: Path) -> ShardEntry:
    """Return the entry of a feature file, which is read.

    Raises:
        DataError: There is no such file, or it is damaged.
        OSError: It cannot be read.
    """
    features = open_feature_file(file)
    header = features.header
    return ShardEntry(
        shard=file.name,
        recordings=features.audio.ids,
        rows=int(features.audio.offsets[-1]),
        bytes=file.stat().st_size,
        sha256=file_sha256(file),
        encoder=header.backend,
        fingerprint=header.fingerprint,
        half=header.half,
    )


def write_manifest(folder: Path, entries: Iterable[ShardEntry]) -> None:
    """Write the manifest of a folder; DataError if that is not possible."""
    write_rows(folder / MANIFEST, map(asdict, entries))


def read_manifest(folder: Path) -> list[ShardEntry]:
    """Return the entries of the manifest of a folder.

    Raises:
        DataError: There is no manifest, or it is none; each mistake is named with its line.
    """
    return read_rows(folder / MANIFEST, _RULES, as_entry, unique="shard")


def as_entry(row: Row) -> ShardEntry:
    """Return the entry of a line."""
    values = {name: row[name] for name in ShardEntry.__dataclass_fields__}
    return ShardEntry(**values | {"recordings": tuple(row["recordings"])})


def _name_fault(value: Any) -> str:
    fault = text_fault(value)
    return fault or ("" if Path(value).name == value else f"is {shown(value)}, which leads elsewhere")


def _names_fault(value: Any) -> str:
    return list_fault(value, lambda item: type(item) is str)


def _count_fault(value: Any) -> str:
    return "" if type(value) is int and value >= 0 else f"is {shown(value)}, not a whole number of at least 0"


def _hash_fault(value: Any) -> str:
    is_hash = type(value) is str and re.fullmatch("[0-9a-f]{64}", value)
    return "" if is_hash else f"is {shown(value)}, not 64 hexadecimal digits"


def _bool_fault(value: Any) -> str:
    return "" if type(value) is bool else f"is {shown(value)}, not true or false"


_REMEDY = "restore the manifest, or extract the features again"
_RULES: Sequence[KeyRule] = tuple(
    KeyRule(key, fault, _REMEDY)
    for key, fault in {
        "shard": _name_fault,
        "recordings": _names_fault,
        "rows": _count_fault,
        "bytes": _count_fault,
        "sha256": _hash_fault,
        "encoder": text_fault,
        "fingerprint": text_fault,
        "half": _bool_fault,
    }.items()
)
