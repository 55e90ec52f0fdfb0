"""The files in folders and archives, one after another, without unpacking anything.

Names in archives are only looked at, never written to; still, a name that points out of its archive, or a
link, has no place in published data, so such an archive is refused.
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
from typing import Self

from amrbench.errors import DataError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_ReadError = tarfile.ReadError
_TORN = (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError)  # type: ignore[attr-defined]
# What the modules of archives raise on damaged bytes.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, lzma.LZMAError, zlib.error, struct.error,
    RuntimeError, NotImplementedError, ValueError, LookupError, TypeError, OverflowError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class ArchiveEntry:
    """A file in a folder or archive.

    Attributes:
        path: Its name inside.
        location: What messages call it.
        size: Its bytes.
        read: Returns its bytes; must be called before the next entry is asked for.
    """

    path: PurePosixPath
    location: str
    size: int
    read: Callable[[], bytes]


def archive_entries(source: Path) -> Iterator[ArchiveEntry]:
    """Yield the files of a folder in the order of their names, or those of an archive in its own order.

    Raises:
        DataError: There is no such folder or archive, it is damaged, or an entry is a link or points out of
            it.
    """
    if source.is_dir():
        yield from _in_folder(source)
        return
    if not source.is_file():
        raise DataError(f"{source}: there is no such folder or archive.")
    if not source.name.endswith(ARCHIVES):
        raise DataError(f"{source}: neither a folder nor an archive ({', '.join(ARCHIVES)}).")
    with _explained(str(source)):
        yield from _in_zip(source) if source.suffix == ".zip" else _in_tar(source)


@contextmanager
def _explained(location: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{location}: cannot be read to its end ({error}). Download or copy it again."
        ) from error


def _explaining(location: str, read: Callable[[], bytes]) -> Callable[[], bytes]:
    def explained() -> bytes:
        with _explained(location):
            return read()

    return explained


def _in_folder(folder: Path) -> Iterator[ArchiveEntry]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            read = _explaining(str(path), path.read_bytes)
            yield ArchiveEntry(inside, str(path), path.stat().st_size, read)


class _Whole(tarfile.TarInfo):
    """An entry; where tarfile takes a torn header for the end of the archive, reading fails."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Return the next entry."""
        try:
            return super().fromtarfile(tarfile)
        except _TORN as error:
            raise _ReadError(f"a header is torn: {error}") from error


def _in_tar(source: Path) -> Iterator[ArchiveEntry]:
    with tarfile.open(source, "r|*", tarinfo=_Whole) as archive:
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
            location = f"{source}: {entry.name}"
            yield ArchiveEntry(
                PurePosixPath(entry.name), location, entry.size, _explaining(location, file.read)
            )


def _in_zip(source: Path) -> Iterator[ArchiveEntry]:
    with zipfile.ZipFile(source) as archive:
        # In a truncated archive of archives, zipfile takes the directory of an entry for its own.
        if any(archive.infolist()) and min(entry.header_offset for entry in archive.infolist()) > 0:
            raise zipfile.BadZipFile("its directory is missing")
        for entry in archive.infolist():
            _refuse_pointing_out(source, entry.filename)
            if not entry.is_dir():
                location = f"{source}: {entry.filename}"
                read = _explaining(location, partial(_unpacked, archive, entry))
                yield ArchiveEntry(PurePosixPath(entry.filename), location, entry.file_size, read)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        # Without the number, an entry that is longer than the archive says would be unpacked to its end.
        return file.read(entry.file_size)


def _refuse_pointing_out(source: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{source}: the name {name!r} points out of the archive. Published features have no such names; "
            "get the archive from its public home."
        )
