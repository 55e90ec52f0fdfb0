"""The files in folders and archives, one after another, without unpacking them to disk.

An archive with links, or with names that point out of it, is refused: published data has neither.
"""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tarfile import ReadError, TarFile
from typing import Self

from typing_extensions import override

from amrbench.errors import DataError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_BROKEN_HEADER = (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError)  # type: ignore[attr-defined]
# Raised by the archive modules on damaged bytes.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, lzma.LZMAError, zlib.error, struct.error,
    RuntimeError, NotImplementedError, ValueError, LookupError, TypeError, OverflowError, MemoryError,
)  # fmt: skip


@contextmanager
def _damage_refused(location: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{location}: cannot be read to its end ({error}). Download or copy it again."
        ) from error


@dataclass(frozen=True)
class ArchiveEntry:
    """A file in a folder or archive.

    Attributes:
        path: Its name in the folder or archive.
        location: Its name in messages.
        size: Its number of bytes.
        content: Returns its bytes, without a message for damaged ones; see `read`.
    """

    path: PurePosixPath
    location: str
    size: int
    content: Callable[[], bytes]

    def read(self) -> bytes:
        """Return its bytes; must be called before the next entry is requested.

        Raises:
            DataError: The bytes are damaged.
        """
        with _damage_refused(self.location):
            return self.content()


def archive_entries(source: Path) -> Iterator[ArchiveEntry]:
    """Yield the files of a folder, sorted by name, or of an archive, in its own order.

    Raises:
        DataError: There is no such folder or archive, it is damaged, or an entry of an archive is a link or
            points out of it.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file():
                name = PurePosixPath(path.relative_to(source).as_posix())
                yield ArchiveEntry(name, str(path), path.stat().st_size, path.read_bytes)
        return
    if not source.is_file():
        raise DataError(f"{source}: there is no such folder or archive.")
    if not source.name.endswith(ARCHIVES):
        raise DataError(f"{source}: neither a folder nor an archive ({', '.join(ARCHIVES)}).")
    with _damage_refused(str(source)):
        yield from _in_zip(source) if source.suffix == ".zip" else _in_tar(source)


class _StrictTarInfo(tarfile.TarInfo):
    """An entry whose broken header is an error; tarfile would take it for the end of the archive."""

    @override
    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _BROKEN_HEADER as error:
            raise ReadError(f"a header is broken: {error}") from error


def _in_tar(source: Path) -> Iterator[ArchiveEntry]:
    with tarfile.open(source, "r|*", tarinfo=_StrictTarInfo) as archive:
        for entry in archive:
            _refuse_pointing_out(source, entry.name)
            if entry.isdir():
                continue
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is None:
                raise DataError(
                    f"{source}: {entry.name!r} is a link or a device, not a file. Published features have "
                    "none; get the archive from its public home."
                )
            yield ArchiveEntry(PurePosixPath(entry.name), f"{source}: {entry.name}", entry.size, file.read)


def _in_zip(source: Path) -> Iterator[ArchiveEntry]:
    with zipfile.ZipFile(source) as archive:
        # In a truncated archive of archives, zipfile would use the directory of an inner archive.
        if any(archive.infolist()) and min(entry.header_offset for entry in archive.infolist()) > 0:
            raise zipfile.BadZipFile("its directory is missing")
        for entry in archive.infolist():
            _refuse_pointing_out(source, entry.filename)
            if not entry.is_dir():
                name, size = entry.filename, entry.file_size
                content = partial(_bytes_of, archive, entry)
                yield ArchiveEntry(PurePosixPath(name), f"{source}: {name}", size, content)


def _bytes_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        # Without the size, an entry longer than its header says would be unpacked completely.
        return file.read(entry.file_size)


def _refuse_pointing_out(source: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{source}: the name {name!r} points out of the archive. Published features have no such names; "
            "get the archive from its public home."
        )
