"""SHA256SUMS: the hash of each file of a finished folder.

The form is that of the command `sha256sum`, so `sha256sum -c SHA256SUMS` checks a folder too. The file is
written last: a folder without it was never finished. It detects damage, not forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from stat import S_ISREG

from amrbench.errors import DataError
from amrbench.files.atomic import free_name, write_text_atomic

CHECKSUMS = "SHA256SUMS"
_ASIDE = ".damaged"


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the hashes of files in a folder; names may lead into folders below it.

    Raises:
        RunError: The file cannot be written.
        OSError: A file cannot be read.
    """
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    write_text_atomic(folder / CHECKSUMS, "".join(lines))


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file; OSError if it cannot be read."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files_below(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below it, but for its checksums."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [file.as_posix() for file in files if file.name != CHECKSUMS]


def has_checksums(folder: Path) -> bool:
    """Whether a folder was finished; its files may have changed since.

    Raises:
        DataError: This user may not look into it.
    """
    try:
        return S_ISREG((folder / CHECKSUMS).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise _forbidden(folder, error) from error


def changed_files(folder: Path) -> list[str]:
    """Return what is not as it was when a folder was finished, e.g. "log.jsonl is missing"; none if all is.

    Files that were not there then do not count.

    Raises:
        DataError: This user may not read a file, which may be as it was.
    """
    try:
        sums = _checksums(folder)
    except FileNotFoundError:
        return [f"{CHECKSUMS} is missing"]
    if not sums:
        return [f"{CHECKSUMS} has changed"]
    faults = {name: _fault(folder / name, digest) for name, digest in sums.items()}
    return [f"{name} {fault}" for name, fault in faults.items() if fault]


def refuse_changed(file: Path) -> None:
    """Raise DataError if a file is in a finished folder, or one below it, and not as it was written there."""
    file = file.absolute()
    for folder in islice(file.parents, 2):
        try:
            digest = _checksums(folder).get(file.relative_to(folder).as_posix())
        except FileNotFoundError:
            continue
        if digest and (fault := _fault(file, digest)):
            raise DataError(
                f"{file}: {fault} since it was written, as {folder / CHECKSUMS} says. Run the recipe again; "
                "or, if it was changed on purpose, copy it into another folder."
            )


def is_set_aside(folder: Path) -> bool:
    """Whether a folder has a name that `set_aside_changed` gives."""
    return _ASIDE in folder.name


def set_aside_changed(folder: Path) -> str:
    """Rename a folder that is not as it was when it was finished to `<name>.damaged`.

    Returns:
        What has changed and the new name, e.g. "log.jsonl is missing; what was there is now in x.damaged",
        unless another process was faster; empty if nothing has changed, or if there is no such folder.

    Raises:
        DataError: This user may not read a file, or not rename the folder.
    """
    try:
        if not folder.exists() or not (faults := changed_files(folder)):
            return ""
    except PermissionError as error:
        raise _forbidden(folder, error) from error
    aside = free_name(folder.with_name(f"{folder.name}{_ASIDE}"))
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return f"{faults[0]}; another process has just renamed what was there"
    except OSError as error:
        raise DataError(
            f"{folder}: {faults[0]}, and the folder cannot be renamed ({error.strerror}). Let this user "
            f"write in {folder.parent}, or move the folder away; what it held is made again."
        ) from error
    return f"{faults[0]}; what was there is now in {aside}"


def _checksums(folder: Path) -> dict[str, str]:
    """Return the hashes of files by name; none if they are damaged, FileNotFoundError if there are none."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="ascii").splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise _forbidden(folder / CHECKSUMS, error) from error
    except (OSError, ValueError):
        return {}


def _fault(file: Path, digest: str) -> str:
    try:
        return "" if file_sha256(file) == digest else "has changed"
    except FileNotFoundError:
        return "is missing"
    except PermissionError as error:
        raise _forbidden(file, error) from error
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError:  # A damaged name may hold bytes that no name of a file has.
        return "cannot be read"


def _forbidden(path: Path, error: OSError) -> DataError:
    """Return the error for what may be whole, so that it is not made again."""
    return DataError(
        f"{path}: cannot be read ({error.strerror}). Let this user read it, or move it away; what it held is "
        "then made again."
    )
