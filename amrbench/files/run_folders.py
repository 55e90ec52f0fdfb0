"""The folders of runs that were made with a cache folder: their runs need its stages and data too."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from amrbench.errors import AmrbenchError
from amrbench.files.atomic import write_bytes_atomic

REMEMBERED = "run-folders"
"""Folder in the cache folder: a file for each folder of runs, with its path."""


def remember_runs(cache: Path, out: Path) -> None:
    """Remember a folder of runs in the cache folder; not in one that cannot be written to."""
    path = os.fsencode(os.path.realpath(out))  # The name of a folder need not be UTF-8.
    file = cache / REMEMBERED / f"{hashlib.sha256(path).hexdigest()[:24]}.path"
    with suppress(OSError, AmrbenchError):
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomic(file, path)


def remembered_runs(cache: Path) -> list[Path]:
    """Return the remembered folders of runs that are still there, sorted."""
    folders = []
    for file in (cache / REMEMBERED).glob("*.path"):
        with suppress(OSError, ValueError):  # A path that holds NUL is no path.
            folders.append(Path(os.fsdecode(file.read_bytes())))
    return sorted(folder for folder in folders if _is_there(folder))


def _is_there(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        return folder.is_absolute() and folder.is_dir()
    return False
