"""Whether files can be made in a folder, before the work whose result belongs there."""

from __future__ import annotations

from pathlib import Path

from amrbench.errors import DataError, RunError
from amrbench.files.owner import this_process


def refuse_unwritable(folder: Path, holds: str, remedy: str) -> None:
    """Make a folder if there is none, and raise RunError if it cannot be written to.

    Args:
        folder: May be missing, with those above it.
        holds: What belongs there, e.g. "the runs".
        remedy: What else to do, e.g. "name another folder with --out".
    """
    probe = folder / f".{this_process().label}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError) as error:
        raise RunError(
            f"{folder}: {holds} would go there, but {_obstacle(folder)}. Move it away, or {remedy}."
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder}: {holds} would go there, but it cannot be written to ({error.strerror}). Let this "
            f"user write there, or {remedy}."
        ) from error


def _obstacle(folder: Path) -> str:
    """Return what is in the place of a folder, or of one above it."""
    path = next(path for path in (folder, *folder.parents) if path.is_symlink() or path.exists())
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there"
    return f"{path} is {'a file' if path.is_file() else 'no folder'}"


def refuse_missing_parent(path: Path) -> None:
    """Raise DataError if the folder of a file to write is missing, or if the path is a folder."""
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {str(path.parent)!r}. Make it, or choose another path.")
    if path.is_dir():
        raise DataError(f"{path}: is a folder. Name a file for the output.")
