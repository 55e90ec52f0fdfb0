"""Finished folders as bytes, for machines that share no file system.

A packed folder is a mapping from the names of its files, with / between steps, to their content. What arrives
is compared with its checksums before it gets its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from amrbench.errors import RunError, unwritable
from amrbench.files.checksums import CHECKSUMS, changed_files, files_below
from amrbench.files.owner import this_process

PackedFolder = Mapping[str, bytes]


def pack_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a finished folder, its checksums last."""
    return {name: (folder / name).read_bytes() for name in [*sorted(files_below(folder)), CHECKSUMS]}


def unpack_folder(files: PackedFolder, folder: Path) -> str:
    """Write a packed folder, unless another process has written the folder meanwhile.

    Args:
        files: See the module.
        folder: Its new name.

    Returns:
        How the folder that is there differs from the packed one, as a sentence; empty if it does not.

    Raises:
        RunError: A file is not as it was when the folder was finished, leads out of the folder, or cannot be
            written.
    """
    part = folder.with_name(f"{folder.name}.received-{this_process().label}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, content in files.items():
            file = part / _inside(name, folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if faults := changed_files(part):
            raise RunError(
                f"{folder}: what came from another machine is not what was sent ({faults[0]}). Give the same "
                "command again."
            )
        with suppress(OSError):
            part.rename(folder)
            return ""
        same = (folder / CHECKSUMS).read_bytes() == files[CHECKSUMS]
        return (
            ""
            if same
            else f"{folder}: another process wrote it at the same time, to other bytes, which are kept"
        )
    except OSError as error:
        raise unwritable(error.filename or folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _inside(name: str, folder: Path) -> PurePosixPath:
    """Return the path of a file in a folder; RunError if it leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise RunError(f"{folder}: the name {name!r} of what came from another machine leads elsewhere.")
    return path
