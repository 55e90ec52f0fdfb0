"""SHA256SUMS: the hash of each file of a finished folder.

The form is that of the command `sha256sum`, so `sha256sum -c SHA256SUMS` checks a folder too. The file is
written last: a folder without it was never finished. It detects damage, not forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from amrbench.files.atomic import free_name, write_text_atomic

CHECKSUMS = "SHA256SUMS"


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the hashes of files in a folder; names may lead into folders below it.

    Raises:
        RunError: The file cannot be written.
        OSError: A file cannot be read.
    """
    lines = [f"{_hash(folder / name)}  {name}\n" for name in sorted(names)]
    write_text_atomic(folder / CHECKSUMS, "".join(lines))


def files_below(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below it, but for its checksums."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [file.as_posix() for file in files if file.name != CHECKSUMS]


def has_checksums(folder: Path) -> bool:
    """Whether a folder was finished; its files may have changed since."""
    return (folder / CHECKSUMS).is_file()


def changed_files(folder: Path) -> list[str]:
    """Return what is not as it was when a folder was finished, e.g. "log.jsonl is missing"; none if all is.

    Files that were not there then do not count.
    """
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="ascii").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError:
        return [f"{CHECKSUMS} is missing"]
    except (OSError, ValueError):
        sums = {}
    if not sums:
        return [f"{CHECKSUMS} has changed"]
    faults = {name: _fault(folder / name, digest) for name, digest in sums.items()}
    return [f"{name} {fault}" for name, fault in faults.items() if fault]


def set_aside_changed(folder: Path) -> str:
    """Rename a folder that is not as it was when it was finished to `<name>.damaged`.

    Returns:
        What has changed and the new name, e.g. "log.jsonl is missing; what was there is now in x.damaged";
        empty if nothing has changed, or if there is no such folder.
    """
    if not folder.exists() or not (faults := changed_files(folder)):
        return ""
    aside = free_name(folder.with_name(f"{folder.name}.damaged"))
    folder.rename(aside)
    return f"{faults[0]}; what was there is now in {aside}"


def _fault(file: Path, digest: str) -> str:
    try:
        return "" if _hash(file) == digest else "has changed"
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError):  # A damaged name may hold bytes that no name of a file has.
        return "cannot be read"


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
