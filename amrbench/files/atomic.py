"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amrbench.errors import DataError, RunError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield where to write a new file; at the end it takes the place of `path`, or goes if anything failed.

    A reader sees the old file or all of the new one, also after the machine lost its power.

    Raises:
        OSError: The file cannot be written, or the path names a folder.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        _flush(part)
        part.replace(path)
        _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


def refuse_replacing(output: Path, sources: Iterable[Path]) -> None:
    """Raise DataError where a file that is to be written is one of those that it is made of."""
    if output.exists() and any(each.samefile(output) for each in sources if each.exists()):
        raise DataError(f"{output}: is read, so it cannot be what is written. Name another output.")


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of a file left beside it; nobody else may write it at the same time."""
    part = re.compile(rf"\.{re.escape(path.name)}\.[0-9]+\.part")
    for each in path.parent.iterdir():
        if part.fullmatch(each.name):
            each.unlink()


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        RunError: The file cannot be written.
    """
    try:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}). Check the folder.") from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
