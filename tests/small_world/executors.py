"""Executors for tests, and the toy parts as an installed plugin for processes that they start."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from amrbench.errors import AmrbenchError
from amrbench.experiment.stage_task import train_task
from amrbench.slots.executors import ExecutorPart, Task
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench_plugins.executors import ray_cluster
from tests.folders import ROOT
from tests.plugin_site import write_plugin
from tests.small_world.parts import REGISTRY

PLUGIN = '''"""The toy parts."""
from amrbench import hookimpl
from tests.small_world.parts import PARTS

@hookimpl
def amrbench_parts():
    return PARTS
'''


def install_toy_parts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts find the toy parts as those of a plugin."""
    write_plugin(site, "toy", PLUGIN)
    paths = [str(site), str(ROOT)]
    for path in paths:
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def train_elsewhere(path: str, text: str, needed: Sequence[object]) -> tuple[int, dict[str, bytes]]:
    """Do a task of Ray as a machine does that has no file at its path."""
    return ray_cluster.train(f"/no-such-folder/{Path(path).name}", text, needed)


@dataclass
class Ended:
    """A job that has ended."""

    code: int
    terminated: bool = False

    def poll(self) -> int:
        return self.code

    def terminate(self) -> None:
        self.terminated = True


def train_here(task: Task) -> int:
    """Train the stage of a task in this process; return the exit code that the command would have."""
    try:
        train_task(task.file, lambda without: REGISTRY, NULL_REPORTER)
    except AmrbenchError:
        return 2
    return 0


@dataclass
class Here:
    """Does tasks in this process, as they are submitted."""

    do: Callable[[Task], int] = train_here
    at_once: int = 2
    waves: list[list[str]] = field(default_factory=list)

    def slots(self) -> int:
        return self.at_once

    def submit(self, tasks: Sequence[Task]) -> list[Ended]:
        self.waves.append([task.name for task in tasks])
        return [Ended(self.do(task)) for task in tasks]


def part_of(executor: object) -> ExecutorPart:
    """Return a part that builds this executor."""

    class Given(ExecutorPart):
        """This executor."""

        use = "given"

        def build(self, jobs):
            return executor

    return Given()
