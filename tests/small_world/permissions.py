"""Let this process meet the permissions of files also where root, as in containers, may do everything."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
"""Of the structures of `capset(2)`."""
_OVERRIDE = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which permissions of files do not count."""


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def permissions() -> Iterator[None]:
    """Let the permissions of files count for this thread and those that it starts, within this context."""
    if os.name != "posix" or (os.geteuid() == 0 and sys.platform != "linux"):
        pytest.skip("root may do everything here")
    if os.geteuid():
        yield
        return
    system, header, sets = ctypes.CDLL(None), _Header(_VERSION_3, 0), (_Sets * 2)()
    assert not system.capget(ctypes.byref(header), sets)
    before, sets[0].effective = sets[0].effective, sets[0].effective & ~_OVERRIDE
    assert not system.capset(ctypes.byref(header), sets)
    try:
        yield
    finally:
        sets[0].effective = before
        assert not system.capset(ctypes.byref(header), sets)


@contextmanager
def with_mode(path: Path, mode: int) -> Iterator[None]:
    """Give a file or folder other permissions within this context, and let them count."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with permissions():
            yield
    finally:
        path.chmod(before)
