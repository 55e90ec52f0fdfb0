"""The command of a task, run by a worker of an executor, with signals passed on."""

from __future__ import annotations

import time
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen

from amrbench.slots.executors import command_of, log_of

POLL_SECONDS = 0.3
"""Time between two looks at the command."""
SAVE_SECONDS = 60.0
"""Longest time that a command which was asked to stop is waited for; it ends its step and saves."""


def start(task: Path) -> Popen[bytes]:
    """Start the command of a task, which a file says; what it shows goes to its log.

    It has a session of its own: Ctrl-C on a terminal would otherwise reach it together with the SIGTERM that
    passes it on, and a second signal ends it before it has saved.
    """
    with log_of(task).open("ab") as log:
        return Popen(  # noqa: S603 - the command is that of amrbench itself
            command_of(task), stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True
        )


class TaskCommand:
    """Does a task, which a file says, in a process of its own and returns its exit code."""

    def __init__(self, task: Path) -> None:
        self.task = task
        self.process: Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the command; whatever interrupts the wait stops it."""
        self.process = start(self.task)
        try:
            while self.process.poll() is None:
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self.process.returncode

    def stop(self) -> None:
        """Ask the command to save and end, and wait for it; kill it if it takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        until = time.monotonic() + SAVE_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        self.process.kill()
