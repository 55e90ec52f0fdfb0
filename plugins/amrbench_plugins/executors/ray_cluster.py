"""Ray: the machines of a lab (Moritz et al. 2018, https://docs.ray.io)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from amrbench.slots.executors import LOST, ExecutorPart, StageTask
from amrbench_plugins.executors.command import StageCommand
from amrbench_plugins.executors.missing import imported

PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Variables that let a private cluster listen on the loopback address alone; Ray reads them when imported."""
LEAST_STORE = 80 * 2**20
"""Bytes of the object store, through which nothing but paths is passed; Ray takes no less."""


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

    def slots(self) -> int:
        """Return the number of stages at the same time: one for each core of the cluster."""
        cores = int(self._connected().cluster_resources().get("CPU", 1))
        return max(1, min(cores, self.jobs or cores))

    def submit(self, tasks: Sequence[StageTask]) -> list[RayJob]:
        """Hand each task to Ray."""
        return [self._submit(task) for task in tasks]

    def _submit(self, task: StageTask) -> RayJob:
        ray = self._connected()
        gpus = self.gpus if task.device.startswith("cuda") else 0
        # Lost tasks are handed over again by the caller, who says so.
        remote = ray.remote(num_cpus=task.threads, num_gpus=gpus, max_retries=0)(train)
        return RayJob(ray, remote.remote(task.file))

    def _connected(self) -> Any:
        """Return Ray, connected to its cluster."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not self.address:
            os.environ.update(PRIVATE)
        ray = imported("ray", "ray")
        if not ray.is_initialized():
            private = {
                "include_dashboard": False,
                "object_store_memory": LEAST_STORE,
                "num_cpus": self.jobs,
            }
            options = {"address": self.address} if self.address else {"address": "local", **private}
            ray.init(**options, log_to_driver=False, logging_level="error")
        return ray


def train(task: Path) -> int:
    """Train the stage of a task in a worker of Ray; return the exit code of its command."""
    return StageCommand(task)()


class RayJob:
    """A task that Ray has."""

    def __init__(self, ray: Any, result: Any) -> None:
        self.ray, self.result = ray, result

    def poll(self) -> int | None:
        """Return the exit code of the command; `LOST` if its worker or machine was lost."""
        ended, _ = self.ray.wait([self.result], timeout=0)
        if not ended:
            return None
        try:
            return int(self.ray.get(self.result))
        except self.ray.exceptions.RayError:
            return LOST

    def terminate(self) -> None:
        """Cancel the task; its worker passes this on to the command."""
        self.ray.cancel(self.result)
