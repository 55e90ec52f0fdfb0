"""Hashes of the content of files, remembered in the cache folder, so that a large folder is read once.

A file is read again when its size or the time of its last change is another. What is remembered may be
deleted at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from amrbench.content_hash import content_hash
from amrbench.errors import DataError, RunError, unreadable
from amrbench.files.atomic import write_text_atomic
from amrbench.files.checksums import file_sha256
from amrbench.files.folders import cache_folder

HASHES = "hashes"
_TICK = 2_000_000_000
"""Nanoseconds; within so many, a second change may leave the time of a file as it is on some disks."""


class _Entry(NamedTuple):
    size: int
    changed: int
    """Nanoseconds."""
    sha256: str


_ENTRIES = TypeAdapter(dict[str, _Entry])


def file_hashes(folder: Path, paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file of a folder.

    Raises:
        DataError: A file cannot be read.
    """
    store = cache_folder() / HASHES / f"{content_hash(str(folder.absolute()))}.json"
    before, settled = _remembered(store), time.time_ns() - _TICK
    entries = {str(path.absolute()): _entry(path, before.get(str(path.absolute()))) for path in paths}
    kept = {name: entry for name, entry in entries.items() if entry.changed < settled}
    if kept != before:
        with suppress(OSError, RunError, DataError):  # A cache that cannot be written to costs time alone.
            store.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(store, json.dumps(kept))
    return [entry.sha256 for entry in entries.values()]


def _remembered(store: Path) -> dict[str, _Entry]:
    with suppress(OSError, ValueError):  # Damaged or missing: all files are read.
        return _ENTRIES.validate_json(store.read_bytes())
    return {}


def _entry(path: Path, before: _Entry | None) -> _Entry:
    try:
        state = path.stat()
        if before and before[:2] == (state.st_size, state.st_mtime_ns):
            return before
        return _Entry(state.st_size, state.st_mtime_ns, file_sha256(path))
    except OSError as error:
        raise unreadable(path, error) from error
