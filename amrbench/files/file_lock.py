"""Locks that keep two processes from making the same file at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from amrbench.errors import DataError

_PAUSE = 0.2  # seconds between two attempts


@contextmanager
def exclusive(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file; wait while another process holds it.

    The operating system releases the lock when its holder ends, so a killed process leaves no lock
    behind. The file is not removed: a process may already wait for it, and another would lock a new file.

    Args:
        path: The lock file; created if it is missing.
        waiting: Called once with the id of the holding process if the lock is not free.

    Raises:
        DataError: The file cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise DataError(f"{path}: cannot be written ({reason}). Choose another folder.") from error
    try:
        if not _try_acquire(handle):
            waiting(os.pread(handle, 32, 0).decode("ascii", "replace") or "unknown")
            while not _try_acquire(handle):
                time.sleep(_PAUSE)
        with suppress(OSError):  # On a full disk, the others are not told which process they wait for.
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _try_acquire(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
