"""Archives that are split into several files, which must be joined before they can be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from amrbench.errors import DataError, some

_ARCHIVE = r"\.(?:tar|tgz|tbz2?|txz|zip|gz|bz2|xz|zst)"
_TAIL = r"(?:\d{2,4}|(?!bz)[a-c][a-z])"
"""How names end that 'split' writes; a single digit is that of a second download."""
_ZIP = re.compile(r"(.+)\.z\d\d", re.IGNORECASE)
_UNPACKED = re.compile(r"(.+?)(?:\.part\d+\.rar|\.r\d\d|\.7z\.\d{3})", re.IGNORECASE)
_JOINED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(.+{_ARCHIVE})([._-]?){_TAIL}",
        rf"(.+{_ARCHIVE})([._-]part[._-]?)\w{{1,4}}",
        r"(.+)(\.(?:part[._-]?)?)\d{3}",
    )
)


@dataclass(frozen=True)
class ArchivePart:
    """A part of an archive.

    Attributes:
        whole: The name of the archive that it is a part of.
        remedy: How to join the parts, as a sentence.
    """

    whole: str
    remedy: str


def part_of(name: str) -> ArchivePart | None:
    """Return the archive that a file is a part of, by its name; None if it is none.

    >>> part_of("clap.tar.gz.part-aa").whole
    'clap.tar.gz'
    """
    if match := _ZIP.fullmatch(name):
        whole, joined = (quote(f"{match[1]}{end}.zip") for end in ("", "-joined"))
        return ArchivePart(f"{match[1]}.zip", f"Join all parts first: 'zip -s 0 {whole} --out {joined}'.")
    if match := _UNPACKED.fullmatch(name):
        return ArchivePart(match[1], "Unpack all parts with the program that made them, and name the folder.")
    for pattern in _JOINED:
        if match := pattern.fullmatch(name):
            parts, whole = f"{quote(match[1] + match[2])}*", quote(match[1])
            how = f"'cat {parts} > {whole}', or on Windows 'copy /b {parts} {whole}'"
            return ArchivePart(match[1], f"Join all parts first: {how}.")
    return None


def refuse_part(source: Path) -> None:
    """Raise DataError for a part of an archive, and for an archive whose parts are not joined."""
    if part := part_of(source.name):
        raise DataError(f"{source}: is a part of an archive. {part.remedy}")
    is_zip = source.suffix.lower() == ".zip"
    if not source.parent.is_dir() or (source.exists() and not is_zip):
        return
    names = sorted(path.name for path in source.parent.iterdir())
    parts = {name: part for name in names if (part := part_of(name)) and part.whole == source.name}
    if source.exists():
        parts = {name: part for name, part in parts.items() if _ZIP.fullmatch(name)}
    if parts:
        what = "is the last part of an archive" if source.exists() else "is not there, but parts of it are"
        remedy = next(iter(parts.values())).remedy
        raise DataError(f"{source}: {what}: {some(parts, 3)}. {remedy}")
