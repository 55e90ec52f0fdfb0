"""Keep two processes from making the same thing at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amrbench.errors import DataError

_PAUSE = 0.2


@contextmanager
def exclusive(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file; wait while another process holds it.

    The system takes the lock back when its holder ends in any way, so a killed process leaves none behind.
    The file stays: removing it would let a third process lock a file that nobody else sees.

    Args:
        path: The lock file; made if it is missing.
        waiting: Called once with the number of the holding process if there is a wait.

    Raises:
        DataError: The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise DataError(f"{path}: cannot be written ({reason}). Choose another folder.") from error
    try:
        _acquire(handle, waiting)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, waiting: Callable[[str], None]) -> None:
    if _taken(handle):
        return
    waiting(os.pread(handle, 32, 0).decode("ascii", "replace") or "unknown")
    while not _taken(handle):
        time.sleep(_PAUSE)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
