"""Ray: the machines of a lab (Moritz et al. 2018, https://docs.ray.io)."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import Field

from amrbench.errors import RunError, as_run_error
from amrbench.notes import note
from amrbench.slots.executors import LOST, ExecutorPart, Task
from amrbench_plugins.executors.command import TaskCommand
from amrbench_plugins.executors.missing import imported

PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Variables that let a private cluster listen on the loopback address alone; Ray reads them when imported."""
LEAST_STORE = 80 * 2**20
"""Bytes of the object store, through which nothing but paths is passed; Ray takes no less."""
CONNECT_SECONDS = 10.0
"""Longest time to wait for a cluster to answer; Ray itself tries for a quarter of an hour."""


class Ray(ExecutorPart):
    """Train stages with Ray: on a cluster that runs already, or on a private one of this machine."""

    use = "ray"

    address: str = Field(
        "", description="HOST:PORT of a cluster; without it one is started on this machine, for this command"
    )
    gpus: float = Field(
        1.0, gt=0, le=8, description="GPUs of a stage with --device cuda; 0.5 lets two stages share one"
    )

    def build(self, jobs: int | None) -> RayCluster:
        """See the slot."""
        return RayCluster(self.address, self.gpus, jobs)


class RayCluster:
    """See `Ray`. Ray places a stage where its threads and GPUs are free."""

    def __init__(self, address: str, gpus: float, jobs: int | None) -> None:
        self.address, self.gpus, self.jobs = address, gpus, jobs
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not address:
            os.environ.update(PRIVATE)
        self.ray: Any = imported("ray", "ray")

    def slots(self) -> int:
        """Return the number of stages at the same time: one for each core of the cluster."""
        with self._asking():
            cores = int(self._connected().cluster_resources().get("CPU", 1))
        return max(1, min(cores, self.jobs or cores))

    def submit(self, tasks: Sequence[Task]) -> list[RayJob]:
        """Hand each task to Ray."""
        return [self._submit(task) for task in tasks]

    def _submit(self, task: Task) -> RayJob:
        from amrbench.experiment.sent_task import pack_needed  # here and below, because it imports torch

        gpus = self.gpus if task.device.startswith("cuda") else 0
        text = task.file.read_text(encoding="utf-8")
        packed = [pack_needed(task.file)] if self.address else []  # A private cluster is this machine.
        with self._asking():
            ray = self._connected()
            # Lost tasks are handed over again by the caller, who says so.
            remote = ray.remote(num_cpus=task.threads, num_gpus=gpus, max_retries=0)(train)
            # In a list it stays where it is until somebody asks for it.
            needed = [ray.put(stages) for stages in packed]
            return RayJob(ray, task.file, remote.remote(str(task.file), text, needed))

    def _asking(self) -> AbstractContextManager[None]:
        """Return a context in which what Ray raises is a RunError; some of it is of no class of its own."""
        if not self.address:
            return as_run_error(
                "the executor ray cannot use a private cluster on this machine",
                "Give the address of a cluster that runs, or train with --executor local.",
                Exception,
            )
        return as_run_error(
            f"the executor ray cannot use the cluster at address {self.address!r}",
            "Give HOST:PORT of a cluster that runs, with the versions of Ray and Python of this machine. "
            "Without an address, a private cluster is started here.",
            Exception,
        )

    def _connected(self) -> Any:
        """Return Ray, connected to its cluster."""
        if not self.ray.is_initialized():
            private = {
                "include_dashboard": False,
                "object_store_memory": LEAST_STORE,
                "num_cpus": self.jobs,
            }
            refuse_unreachable(self.address)
            options = {"address": self.address} if self.address else {"address": "local", **private}
            self.ray.init(**options, log_to_driver=False, logging_level="error")
        return self.ray


def refuse_unreachable(address: str) -> None:
    """Raise OSError if nothing listens at an address with host and port."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def train(path: str, text: str, needed: Sequence[Any]) -> tuple[int, dict[str, bytes]]:
    """Do a task in a worker of Ray.

    Args:
        path: The file of the task on the machine that asks.
        text: Its content.
        needed: A reference to the stages that it starts from.

    Returns:
        The exit code of its command, and what comes back from a machine that does not share that file.
    """
    from amrbench.experiment.sent_task import do_sent, is_shared

    if is_shared(Path(path), text):
        return TaskCommand(Path(path))(), {}
    stages = imported("ray", "ray").get(needed[0]) if needed else {}
    return do_sent(Path(path).name, text, stages, lambda file: TaskCommand(file)())


class RayJob:
    """A task that Ray has."""

    def __init__(self, ray: Any, file: Path, result: Any) -> None:
        self.ray, self.file, self.result = ray, file, result

    def poll(self) -> int | None:
        """Return the exit code of the command; `LOST` if its worker or machine was lost."""
        from amrbench.experiment.sent_task import accept

        try:
            ended, _ = self.ray.wait([self.result], timeout=0)
            if not ended:
                return None
            code, came = self.ray.get(self.result)
        except self.ray.exceptions.RayError:
            return LOST
        try:
            accept(self.file, came)
        except RunError as error:
            note(str(error))
            return LOST
        return int(code)

    def terminate(self) -> None:
        """Cancel the task; its worker passes this on to the command."""
        self.ray.cancel(self.result)
