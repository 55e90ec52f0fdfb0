"""The files below a folder: linked folders are followed, hidden files are left out."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path, PurePath

from amrbench.errors import DataError

_OF_SYSTEMS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that operating systems and network drives put beside people's files."""


@dataclass(frozen=True)
class FolderFiles:
    """The files below a folder.

    Attributes:
        folder: The folder.
        files: All files that are not hidden, sorted.
        hidden: Files with a name that begins with a dot, sorted; those of hidden folders are not listed.
        broken: Links that lead to no file, sorted.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)


def composed(name: str) -> str:
    r"""Return a name with composed letters (NFC): macOS writes "é" as "e" and an accent.

    >>> len("e\u0301"), len(composed("e\u0301"))
    (2, 1)
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    r"""Return a text that can be written as UTF-8: names of files may hold any bytes.

    >>> printable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_hidden(path: PurePath) -> bool:
    """Whether a part of a path begins with a dot, or is a folder of an operating system.

    >>> is_hidden(PurePath("audio/._a.wav")), is_hidden(PurePath("audio/a.wav"))
    (True, False)
    """
    return any(part.startswith(".") or part in _OF_SYSTEMS for part in path.parts)


def files_below(folder: Path) -> FolderFiles:
    """List the files below a folder.

    A folder is listed once: at its own path if it is below the folder, else at the first link to it. So links
    in a circle end.

    Raises:
        DataError: There is no such folder, or one below it cannot be read.
    """
    listed = FolderFiles(folder)
    for kind, path in _walk(folder):
        kind(listed).append(path)
    for paths in (listed.files, listed.hidden, listed.broken):
        paths.sort()
    return listed


def has_file(folder: Path, suffixes: Sequence[str]) -> bool:
    """Whether `files_below` lists a file with one of some suffixes; ends at the first."""
    walk = _walk(folder) if folder.is_dir() else iter(())
    return any(kind is _FILE and path.suffix.lower() in suffixes for kind, path in walk)


_FILE, _HIDDEN, _BROKEN = (attrgetter(name) for name in ("files", "hidden", "broken"))


def _walk(folder: Path) -> Iterator[tuple[Callable[[FolderFiles], list[Path]], Path]]:
    """Yield each file below a folder with the list of `FolderFiles` that it belongs to."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Check the path.")
    seen = set[tuple[int, int]]()
    own, linked = deque([folder]), deque[Path]()
    while own or linked:
        current = (own or linked).popleft()
        try:
            status = current.stat()
            if (key := (status.st_dev, status.st_ino)) not in seen:
                seen.add(key)
                yield from _walk_one(current, own, linked)
        except OSError as error:
            raise DataError(
                f"{error.filename or current}: cannot be read ({error.strerror}). Make it readable, or move "
                "it away."
            ) from error


def _walk_one(
    folder: Path, own: deque[Path], linked: deque[Path]
) -> Iterator[tuple[Callable[[FolderFiles], list[Path]], Path]]:
    """Yield the files of one folder, and add the folders in it to `own` or `linked`."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path, is_link = Path(entry.path), entry.is_symlink()
            if is_link and not path.exists():
                yield _BROKEN, path
            elif entry.is_dir():
                if not is_hidden(PurePath(entry.name)):
                    (linked if is_link else own).append(path)
            elif entry.is_file():
                yield (_HIDDEN if entry.name.startswith(".") else _FILE), path
