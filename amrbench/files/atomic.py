"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from amrbench.errors import DataError, unwritable
from amrbench.files.owner import this_process


@contextmanager
def atomic_path(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end the file replaces `path`, or is removed on failure.

    A reader sees the old file or the complete new one, even after a power failure. A link stays a link: the
    file that it leads to is replaced.

    Args:
        path: The file.
        folder: Folder of the temporary file, on the same disk; by default that of the file. A process that
            is killed leaves its temporary file there.

    Raises:
        OSError: The file cannot be written, or the path names a folder.
        DataError: The path names a device, a pipe or a socket.
    """
    _refuse_other_kinds(path)
    file = Path(os.path.realpath(path))
    part = (folder or file.parent) / f".{file.name}.{this_process().label}.part"
    try:
        yield part
        _flush(part)
        part.replace(file)
        _flush(file.parent)
    finally:
        part.unlink(missing_ok=True)


def refuse_replacing(output: Path, sources: Iterable[Path]) -> None:
    """Raise DataError if the output file is one of the files that are read."""
    if output.exists() and any(source.samefile(output) for source in sources if source.exists()):
        raise DataError(f"{output}: is an input, so it cannot be the output. Name another output.")


def refuse_filled(path: Path, option: str) -> None:
    """Raise DataError if a file that people correct by hand is there already and not empty.

    Args:
        path: The file to write.
        option: The option that names it, for the message.
    """
    if path.exists() and path.stat().st_size:
        raise DataError(
            f"{path}: is there already, and may have been corrected by hand. Name a new or empty file with "
            f"{option}, or move this one away."
        )


def free_name(path: Path) -> Path:
    """Return the path, or the first of path-2, path-3 ... at which there is nothing."""
    names = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(name for name in chain([path], names) if not name.exists())


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers of `path`; no other process may be writing it."""
    file = Path(os.path.realpath(path))
    _remove(file.parent.iterdir(), re.escape(file.name))


def remove_leftovers_below(folder: Path) -> None:
    """Remove temporary files of all killed writers in a folder; no other process may be writing there."""
    _remove(folder.rglob("*.part"), ".+")


def _remove(files: Iterable[Path], name: str) -> None:
    part = re.compile(rf"\.{name}\.[0-9a-f]+-[0-9]+\.part")
    for file in list(files):
        if part.fullmatch(file.name):
            file.unlink()


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        RunError: The file cannot be written.
        DataError: The path names a device, a pipe or a socket.
    """
    write_bytes_atomic(path, text.encode())


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        RunError: The file cannot be written.
        DataError: The path names a device, a pipe or a socket.
    """
    try:
        with atomic_path(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise unwritable(path, error) from error


def _refuse_other_kinds(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not S_ISREG(mode):
        raise DataError(f"{path}: is a device, a pipe or a socket, and no file. Name a file for the output.")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
