"""Whether a disk has room for what is about to be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from amrbench.errors import RunError

SPARE = 16 * 2**20
"""Bytes that stay free, for logs and the files of others."""


def refuse_full_disk(folder: Path, needed: int, what: str) -> None:
    """Raise RunError if the disk of a folder has too little room.

    Args:
        folder: Must exist.
        needed: Bytes that are about to be written.
        what: What needs them, e.g. "the stage cgdetr finetune, seed 1".
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise RunError(
            f"{folder}: {_mebibytes(free)} are free on this disk, but {what} needs up to "
            f"{_mebibytes(needed + SPARE)}. Free some space, and give the same command again; what is "
            "finished is kept."
        )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
