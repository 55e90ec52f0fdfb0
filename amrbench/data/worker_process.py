"""What all worker processes have in common: one thread, no Ctrl-C, and words for how they ended."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Variables with the number of threads, which libraries read when they are imported."""
KEPT = "What is finished is kept: give the same command again"
NO_GUARD = (
    "In a script of your own, put the call under `if __name__ == '__main__':`, because workers import the "
    "script."
)
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE}
_FRAME = re.compile(r'most recent call first\):\n  File "(?P<file>.+)", line (?P<line>\d+)')


@contextmanager
def one_thread() -> Iterator[None]:
    """Give the processes that are started in this context one thread each.

    The number of threads decides how sums are split.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def ignore_ctrl_c() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the parent of this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ending(code: int, location: str) -> tuple[str, str]:
    """Return how a process ended, e.g. "was killed with SIGKILL", and a sentence on what may be the reason.

    Args:
        code: Of its exit; a number below 0 is that of a signal, and so is one above 128 less 128.
        location: File and line at which it crashed; empty if they are not known.
    """
    if name := _signal_name(code - 128):
        return f"was stopped with {name}", "People and batch systems do so."
    if code >= 0:
        return f"ended itself with exit code {code}", (
            "A part or a library that runs there calls os._exit, or a connection was lost."
        )
    name = _signal_name(-code) or f"signal {-code}"
    if -code in _CRASHES:
        where = f" ({location})" if location else ""
        return f"crashed{where} with {name}", (
            "The fault is in compiled code of a library or part that runs there; update it, or leave out "
            "what it fails on."
        )
    return f"was killed with {name}", (
        "The system does so if memory is short, and batch systems do at their limits."
    )


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return ""


def crash_location(file: Path) -> str:
    """Return the Python file and line that `faulthandler` wrote into a file last; empty if there is none."""
    with suppress(OSError):
        text = file.read_text(encoding="utf-8", errors="replace")
        for match in reversed(list(_FRAME.finditer(text))):
            return f"{match['file']}:{match['line']}"
    return ""
