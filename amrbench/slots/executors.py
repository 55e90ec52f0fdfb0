"""Executors: where the stages of a run are trained, and where features of audio are made."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from amrbench.part import Part

DEFAULT = "local"
"""The executor of a run that names none."""
MOST_JOBS = 1000
"""Stages that an executor without a limit of its own takes at the same time."""
SHARDS = ".shards.json"
"""How the name of a file ends that asks for shards of features; all others ask for a stage."""
LOST = -1
"""Exit code of a job that was lost with its machine, or that nobody knows any more."""


def command_of(file: Path) -> list[str]:
    """Return the command that does a task, with the Python of the machine that asks.

    Args:
        file: Of the task.
    """
    return [sys.executable, "-m", "amrbench", "task", str(file)]


def log_of(file: Path) -> Path:
    """Return a file for what a task shows; it is removed when the task is done."""
    return file.with_suffix(".log")


@dataclass(frozen=True)
class Task:
    """A stage to train, or shards of features to make: by a command where the folders are shared, or here.

    Attributes:
        name: Of the stage or the features, for people.
        file: Says all that the command needs; its path is absolute.
        device: That it is done on, e.g. "cpu" or "cuda".
        threads: Number of threads that it uses.
        run: Does it and returns the exit code that the command would have. It pickles to a worker process of
            this machine, where it may be called for one task after another, and needs no plugin.
    """

    name: str
    file: Path
    device: str
    threads: int
    run: Callable[[], int] = field(repr=False, compare=False)

    @property
    def log(self) -> Path:
        """Return the file for what it shows; see `log_of`."""
        return log_of(self.file)

    @property
    def command(self) -> list[str]:
        """Return the command; see `command_of`."""
        return command_of(self.file)


class Job(Protocol):
    """A task that was handed over. A `subprocess.Popen` of its command is a job."""

    def poll(self) -> int | None:
        """Return None while the job waits or runs, then its exit code; below 0 it is that of a signal.

        0, 1 and 2 are final. After any other code, or after 0 without a result, the task was lost,
        and is handed over once more: a machine went down (`LOST`), or memory was short.
        """

    def terminate(self) -> None:
        """Take the job back if it waits; if it runs, let it save its state and end.

        A second call ends it at once.
        """


class Executor(Protocol):
    """Does tasks by running their commands somewhere. It never waits for them."""

    def slots(self) -> int:
        """Return how many tasks it takes at the same time; asked again and again."""

    def submit(self, tasks: Sequence[Task]) -> Sequence[Job]:
        """Hand over tasks that can begin at once, and return a job for each of them."""


class ExecutorPart(Part):
    """Where stages are trained. It changes no number, and is no part of a recipe or protocol."""

    slot = "executor"
    builds = Executor
    on_this_machine: ClassVar[bool] = False
    """Whether all jobs run on this machine: their number is then what fits on its cores or its GPU and into
    its memory, and a single job is done by the process that was called."""

    @abstractmethod
    def build(self, jobs: int | None) -> Executor:
        """Return the executor. Nothing is started before the first task.

        A package that is not installed is an error here, before any work has begun. It may be called twice.

        Args:
            jobs: Most stages at the same time; None leaves it to the executor.
        """
