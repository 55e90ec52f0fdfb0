"""Stopping on request: after the first Ctrl-C or SIGTERM work ends its step and saves; a second one ends it.

A worker process that trains stops when its parent asks it to.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_SECONDS = 1.0
"""Time between two looks whether the parent process is there."""


class Interrupted(KeyboardInterrupt):
    """The work was stopped on request; all that is needed to go on is saved.

    `number` is the signal that this process got; 0 if its parent asked it.
    """

    def __init__(self, at: str, number: int = 0) -> None:
        super().__init__(at, number)
        self.at = at
        self.number = number


class _Requests:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.signal = 0
        self.by_parent: Callable[[], bool] = lambda: False


_requests = _Requests()


def stop_requested() -> bool:
    """Whether the work should save and stop."""
    return bool(_requests.signal) or _requests.by_parent()


def interrupted(at: str) -> Interrupted:
    """Return the exception for work that stops at a place, e.g. "cgdetr finetune, epoch 2, step 5 of 69"."""
    return Interrupted(at, _requests.signal)


def refuse_to_go_on(after: str) -> None:
    """Raise `Interrupted` if this process was asked to stop."""
    if stop_requested():
        raise interrupted(after)


@contextmanager
def stops_between_steps(announce: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Within this context the first signal only makes `stop_requested` true; the second acts as ever.

    Args:
        announce: Called at the first signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may say what signals do.
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, _: FrameType | None) -> None:
        _requests.signal = number
        restore()
        announce()

    for number in before:
        signal.signal(number, request)
    try:
        yield
    finally:
        restore()
        _requests.signal = 0


def follow_parent(asked: Callable[[], bool]) -> None:
    """Let a worker process stop when its parent asks it to, which a function says, or at SIGTERM."""
    _requests.by_parent = asked


def stop_with_parent() -> None:
    """Let this process get SIGTERM when the process that started it ends, because none waits for it then."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
