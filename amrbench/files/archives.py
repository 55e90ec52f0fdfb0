"""The files in folders and archives, one after another, without unpacking them to disk.

An archive is recognised by its content. One with links, or with names that point out of it, is refused:
published data has neither.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from tarfile import ReadError, TarFile
from typing import Any, Self

from typing_extensions import override

from amrbench.errors import DataError, did_you_mean
from amrbench.files.archive_parts import refuse_part
from amrbench.files.file_kind import HEAD
from amrbench.files.folder_files import files_below, is_hidden
from amrbench.files.wrong_content import wrong_content

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
ARRAYS = (".npz", ".npy")
"""Suffixes of single files that are read like a folder with one file."""
_ZIP = b"PK"
_COMPARED = 1000
"""Names that are compared letter by letter; more would take seconds."""
_CHUNK = 1 << 20
"""Bytes that are read at a time."""
_COMPRESSED: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_UTF_8 = 0x800
"""The flag of a ZIP entry whose name is UTF-8."""
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

    Hidden folders and those of operating systems are left out. A single .npz or .npy file is yielded alone.

    Raises:
        DataError: There is no such folder or archive, it is damaged or a part of one, or an entry of an
            archive is a link or points out of it.
    """
    if source.is_dir():
        listed = files_below(source)
        for path in sorted([*listed.files, *listed.hidden]):
            name = _path(path.relative_to(source).as_posix())
            yield ArchiveEntry(name, str(path), path.stat().st_size, path.read_bytes)
        return
    refuse_part(source)
    if source.is_symlink() and not source.exists():
        raise DataError(f"{source}: is a link to {source.readlink()}, which is not there.")
    if not source.is_file():
        near_by = [path.name for path in source.parent.iterdir()] if source.parent.is_dir() else []
        near = did_you_mean(source.name, near_by[:_COMPARED])
        raise DataError(f"{source}: there is no such folder or archive.{near}")
    if source.suffix.lower() in ARRAYS:
        name = PurePosixPath(source.absolute().parent.name, source.name)
        yield ArchiveEntry(name, str(source), source.stat().st_size, source.read_bytes)
        return
    with _damage_refused(str(source)):
        head = _head(source)
        entries = _in_zip(source) if head.startswith(_ZIP) else _in_tar(source, _decompressor(head))
        yield from (entry for entry in entries if not is_hidden(entry.path.parent))


def _head(source: Path) -> bytes:
    """Return the first bytes of an archive, or raise DataError if it is none."""
    with source.open("rb") as file:
        head = file.read(HEAD)
    opened = _decompressor(head)
    if opened is None:
        is_archive, inner, about = head.startswith(_ZIP) or _is_tar(head), head, ""
    else:
        with opened(source) as file:
            inner, about = file.read(HEAD), "is compressed, and unpacked it "
        is_archive = _is_tar(inner)
    if not is_archive and (wrong := wrong_content(inner)):
        raise DataError(f"{source}: {about}{wrong}")
    if not is_archive and not opened:
        raise DataError(f"{source}: neither a folder nor an archive ({', '.join(ARCHIVES)}).")
    return head


def _decompressor(head: bytes) -> Callable[[Path], Any] | None:
    """Return what opens a compressed file that begins so; None if it is not compressed."""
    return next((opened for start, opened in _COMPRESSED.items() if head.startswith(start)), None)


def _is_tar(head: bytes) -> bool:
    # The first entry may be a header that goes on after these bytes, so that tarfile cannot read it.
    return head[257:262] == b"ustar" or tarfile.is_tarfile(BytesIO(head))


class _StrictTarInfo(tarfile.TarInfo):
    """An entry whose broken header is an error; tarfile would take it for the end of the archive."""

    @override
    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _BROKEN_HEADER as error:
            raise ReadError(f"a header is broken: {error}") from error


def _in_tar(source: Path, decompressor: Callable[[Path], Any] | None) -> Iterator[ArchiveEntry]:
    # Tarfile itself reads the first of the members that parallel compressors write, and no checksum.
    opened: Callable[[Path], Any] = decompressor or partial(Path.open, mode="rb")
    with (
        opened(source) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_StrictTarInfo) as archive,
    ):
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
            yield ArchiveEntry(_path(entry.name), f"{source}: {entry.name}", entry.size, file.read)
        while decompressor and unpacked.read(_CHUNK):
            pass  # The checksum stands at the end, after what fills the last block of the archive.


def _in_zip(source: Path) -> Iterator[ArchiveEntry]:
    with zipfile.ZipFile(source) as archive:
        # In a truncated archive of archives, zipfile would use the directory of an inner archive.
        if any(archive.infolist()) and min(entry.header_offset for entry in archive.infolist()) > 0:
            raise zipfile.BadZipFile("its directory is missing")
        for entry in archive.infolist():
            name = _name_of(entry)
            _refuse_pointing_out(source, name)
            if PurePosixPath(name).name == "data.pkl":
                raise DataError(
                    f"{source}: is a file of torch.save, which is not read. Save the numbers as .npz, with "
                    "numpy.savez."
                )
            if not name.endswith(("/", "\\")):
                content = partial(_bytes_of, archive, entry)
                yield ArchiveEntry(_path(name), f"{source}: {name}", entry.file_size, content)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry, read as UTF-8 where it is UTF-8: macOS does not set the flag for it."""
    if entry.flag_bits & _UTF_8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _path(name: str) -> PurePosixPath:
    """Return the path of an entry; archives of Windows and what is unpacked of them may have back-slashes."""
    return PurePosixPath(name.replace("\\", "/"))


def _bytes_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        # Without the size, an entry longer than its header says would be unpacked completely.
        return file.read(entry.file_size)


def _refuse_pointing_out(source: Path, name: str) -> None:
    path = _path(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{source}: the name {name!r} points out of the archive. Published features have no such names; "
            "get the archive from its public home."
        )
