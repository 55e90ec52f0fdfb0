"""Processes of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from subprocess import Popen

from amrbench.slots.executors import ExecutorPart, StageTask
from amrbench_plugins.executors.command import start


class Local(ExecutorPart):
    """Train each stage in a process of its own on this machine: one that dies ends no other."""

    use = "local"
    on_this_machine = True

    def build(self, jobs: int | None) -> LocalProcesses:
        """See the slot."""
        return LocalProcesses(jobs or 1)


class LocalProcesses:
    """See `Local`."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def slots(self) -> int:
        """Return the number of processes at the same time."""
        return self.jobs

    def submit(self, tasks: Sequence[StageTask]) -> list[Popen[bytes]]:
        """Start a process for each task."""
        return [start(task) for task in tasks]
