"""SLURM through submitit (https://github.com/facebookincubator/submitit)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from pydantic import Field

from amrbench.errors import as_run_error
from amrbench.slots.executors import LOST, MOST_JOBS, ExecutorPart, Task
from amrbench_plugins.executors.command import TaskCommand
from amrbench_plugins.executors.missing import imported


class Submitit(ExecutorPart):
    """Train stages as jobs of SLURM: one array for all that can begin; preempted ones are queued again."""

    use = "submitit"

    partition: str = Field("", description="partition of the cluster; its default without one")
    minutes: int = Field(
        24 * 60, ge=1, le=100_000, description="longest time of a job; its stage goes on then"
    )
    gpus: int = Field(1, ge=1, le=8, description="GPUs of a stage with --device cuda")
    memory: int = Field(16, ge=1, le=10_000, description="memory of a job in GB")
    cluster: Literal["slurm", "local"] = Field(
        "slurm", description="local: processes of this machine, to try it without SLURM"
    )

    def build(self, jobs: int | None) -> SlurmCluster:
        """See the slot."""
        return SlurmCluster(self, jobs)


class SlurmCluster:
    """See `Submitit`."""

    def __init__(self, options: Submitit, jobs: int | None) -> None:
        self.submitit = imported("submitit", "slurm")
        self.options, self.jobs = options, jobs or MOST_JOBS

    def slots(self) -> int:
        """Return the most jobs at the same time; SLURM decides how many of them run."""
        return self.jobs

    def submit(self, tasks: Sequence[Task]) -> list[SlurmJob]:
        """Submit one array of jobs."""
        if not tasks:
            return []
        with self._asking():
            executor = self._executor(tasks[0])
            with executor.batch():
                jobs = [executor.submit(PreemptedTask(task.file)) for task in tasks]
        return [SlurmJob(job) for job in jobs]

    def _asking(self) -> AbstractContextManager[None]:
        """Return a context in which what SLURM refuses, or that it is not there, is a RunError."""
        options = self.options.model_dump().items()
        named = ", ".join(f"{name} {value!r}" for name, value in options if name != "use")
        return as_run_error(
            f"the executor submitit cannot submit jobs with {named}",
            "Give the command on a machine that has srun and sbatch, and options that SLURM allows there: "
            "'sinfo' lists partitions and limits. '{use: submitit, cluster: local}' needs no SLURM.",
            RuntimeError,
            FileNotFoundError,
        )

    def _executor(self, task: Task) -> Any:
        """Return submitit's executor; all tasks of a run ask for the same."""
        options, gpu = self.options, task.device.startswith("cuda")
        executor = self.submitit.AutoExecutor(
            folder=task.file.parent / "submitit", cluster=options.cluster, slurm_max_num_timeout=MOST_JOBS
        )
        executor.update_parameters(
            name="amrbench",
            timeout_min=options.minutes,
            cpus_per_task=task.threads,
            gpus_per_node=options.gpus if gpu else 0,
            mem_gb=options.memory,
            slurm_array_parallelism=self.jobs,
            **({"slurm_partition": options.partition} if options.partition else {}),
        )
        return executor


class PreemptedTask(TaskCommand):
    """The command of a task, stopped and queued again before its job is preempted or reaches its limit."""

    def checkpoint(self) -> Any:
        """Stop the command, which saves its state, and return the same task for submitit to queue."""
        self.stop()
        return imported("submitit", "slurm").helpers.DelayedSubmission(PreemptedTask(self.task))


class SlurmJob:
    """A job of SLURM."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def poll(self) -> int | None:
        """Return the exit code of the command; `LOST` if its job was lost."""
        if not self.job.done():
            return None
        error = self.job.exception()
        return LOST if error else int(self.job.result())

    def terminate(self) -> None:
        """Cancel the job; SLURM sends SIGTERM, and some time later SIGKILL."""
        self.job.cancel()
