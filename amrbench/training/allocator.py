"""Keep the memory that a training step frees for the next step, where the C library is glibc.

By default glibc gives what is free at the end of its heap back to the system as soon as it is more than some
64 MiB. Every step then asks for the same pages again, which the system has to clear (mallopt(3)). No number
depends on this.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

_MIB = 2**20


@dataclass(frozen=True)
class Threshold:
    """A parameter of glibc's allocator.

    Attributes:
        number: Its number for `mallopt`, from malloc.h.
        value: What training sets, in bytes; -1 is never.
        variable: The environment variable by which people set it.
        tunable: Its name in GLIBC_TUNABLES.
    """

    number: int
    value: int
    variable: str
    tunable: str

    @property
    def is_set(self) -> bool:
        """Whether the user has set it."""
        return self.variable in os.environ or self.tunable in os.environ.get("GLIBC_TUNABLES", "")


THRESHOLDS = (
    Threshold(-3, 32 * _MIB, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold="),
    Threshold(-1, -1, "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold="),
    Threshold(-2, 64 * _MIB, "MALLOC_TOP_PAD_", "glibc.malloc.top_pad="),
)
"""Blocks below 32 MiB, the most that glibc allows, come from the heap, which is not shortened and grows by
64 MiB at least."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this process, and give it back to the system at the end.

    What the user has set by environment variables stays. Without glibc nothing happens. The thresholds are
    those of the whole process and stay as they are, because glibc cannot return to its defaults.
    """
    library = glibc()
    if library:
        set_thresholds()
    try:
        yield
    finally:
        if library:
            library.malloc_trim(0)


@cache
def set_thresholds() -> tuple[str, ...]:
    """Set the thresholds that the user has not set, once in a process; return the variables of those set."""
    library = glibc()
    if not library:
        return ()
    unset = [threshold for threshold in THRESHOLDS if not threshold.is_set]
    for threshold in unset:
        library.mallopt(threshold.number, threshold.value)
    return tuple(threshold.variable for threshold in unset)


@cache
def glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is glibc, otherwise None."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # TypeError on Windows.
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
