"""Executors: where the stages of a run are trained."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from amrbench.part import Part

MOST_JOBS = 1000
"""Stages that an executor without a limit of its own takes at the same time."""


@dataclass(frozen=True)
class StageTask:
    """One stage to train, on any machine that has the folders of this one.

    Attributes:
        name: Of the stage, for people.
        file: Says all that is needed to train it; its path is absolute.
        device: That the stage is trained on, e.g. "cpu" or "cuda".
        threads: Number of threads of the training.
    """

    name: str
    file: Path
    device: str
    threads: int

    @property
    def log(self) -> Path:
        """Return a file for what the command shows; it is removed when the stage is trained."""
        return self.file.with_suffix(".log")

    @property
    def command(self) -> list[str]:
        """Return the command that trains the stage, with the Python of the machine on which it is asked."""
        return [sys.executable, "-m", "amrbench", "stage", str(self.file)]


class Job(Protocol):
    """A task that was handed over. A `subprocess.Popen` of its command is a job."""

    def poll(self) -> int | None:
        """Return None while the job waits or runs, then the exit code of the command.

        0, 1 and 2 are final. After any other code, or after 0 without a trained stage, the task was lost,
        and is handed over once more: a machine went down, or memory was short.
        """

    def terminate(self) -> None:
        """Take the job back if it waits; if it runs, send SIGTERM, on which it saves its state and ends."""


class Executor(Protocol):
    """Trains stages by running their commands somewhere. It never waits for them."""

    def slots(self) -> int:
        """Return how many tasks it takes at the same time; asked again and again."""

    def submit(self, tasks: Sequence[StageTask]) -> Sequence[Job]:
        """Hand over tasks that can begin at once, and return a job for each of them."""


class ExecutorPart(Part):
    """Where stages are trained. It changes no number, and is no part of a recipe or protocol."""

    slot = "executor"
    builds = Executor
    on_this_machine: ClassVar[bool] = False
    """Whether all jobs run on this machine; `jobs` is then a number: what fits on its cores or its GPU."""

    @abstractmethod
    def build(self, jobs: int | None) -> Executor:
        """Return the executor. Nothing is started before the first task.

        Args:
            jobs: Most stages at the same time; None leaves it to the executor.
        """
