"""Train the missing stages of several recipes with an executor, each as a task of its own.

Results come through the store alone: a stage is finished when its folder is there. A task that is lost is
handed over again; one that fails ends no other but those that start from its stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from amrbench.errors import RunError
from amrbench.files.atomic import write_text_atomic
from amrbench.interrupts import refuse_to_go_on, stop_requested, stops_between_steps
from amrbench.notes import note
from amrbench.part import Strict
from amrbench.slots.executors import Executor, Job, StageTask
from amrbench.training.divergence import DivergenceNotes
from amrbench.training.progress_bars import Reporter
from amrbench.training.stage_queue import (
    POLL_SECONDS,
    GroupFollower,
    expected_work,
    free_stages,
    longest_first,
    missing_stages,
)
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import is_finished

MOST_STARTS = 3
"""How often a task is handed over before its stage counts as failed."""
FINAL = frozenset({1, 2})
"""Exit codes of a command that would end in the same way once more: a bug, and an error of the input."""
LOST_REMEDY = (
    "The system kills processes if memory is short, and batch systems do at their limits. What is finished "
    "is kept, and so is the state of this stage: give the same command again, with more memory or "
    "time for a job."
)


class TaskReport(Strict):
    """What a task says to the process that waits for it; it lies beside the file of the task."""

    notes: tuple[str, ...] = ()
    error: str = ""

    @staticmethod
    def file_of(task: Path) -> Path:
        """Return the file of the report of a task."""
        return task.with_suffix(".report")

    def write(self, task: Path) -> None:
        """Write the report of a task; RunError if that is not possible."""
        write_text_atomic(self.file_of(task), self.model_dump_json())

    @classmethod
    def read(cls, task: Path) -> TaskReport:
        """Return the report of a task; an empty one if it has none, or a damaged one."""
        try:
            return cls.model_validate_json(cls.file_of(task).read_bytes())
        except (FileNotFoundError, ValidationError):
            return cls()


def train_with_executor(
    chains: Sequence[StageSpec],
    store: Path,
    *,
    executor: Executor,
    task_of: Callable[[StageSpec], StageTask],
    reporter: Reporter,
) -> None:
    """Train all missing stages of some chains.

    Args:
        chains: The last stage of each.
        store: The folder of stages, which all machines share.
        executor: Trains the stages.
        task_of: Writes the task of a stage.
        reporter: Receives each epoch.

    Raises:
        RunError: A stage failed; all that do not start from it are finished before.
    """
    missing = longest_first(missing_stages(chains, store, note), expected_work)
    reporter = DivergenceNotes(reporter)
    announce = partial(
        reporter.note, "stopping all jobs after their step; Ctrl-C again stops waiting for them"
    )
    if not missing:
        return
    executor.slots()  # Libraries of clusters say what signals do when they connect; what follows must win.
    tasks = _Tasks(executor, task_of, missing, store, reporter)
    with stops_between_steps(announce):
        tasks.train()
        refuse_to_go_on(tasks.stopped or missing[0].name)


@dataclass(frozen=True, eq=False)
class _Running:
    """A stage that is being trained."""

    spec: StageSpec
    task: StageTask
    job: Job
    follower: GroupFollower


class _Tasks:
    """The stages that are left, and those that were handed over."""

    def __init__(
        self,
        executor: Executor,
        task_of: Callable[[StageSpec], StageTask],
        missing: list[StageSpec],
        store: Path,
        reporter: Reporter,
    ) -> None:
        self.executor, self.task_of = executor, task_of
        self.missing, self.store, self.reporter = missing, store, reporter
        self.running: list[_Running] = []
        self.starts: dict[str, int] = {}
        self.failures: list[RunError] = []
        self.stopped = ""

    def train(self) -> None:
        """Train all stages that can be trained, then raise the first failure."""
        stopping = waiting = False
        try:
            while self.running or (self.missing and not stop_requested()):
                if not stop_requested():
                    self._submit()
                elif not stopping:
                    stopping = True
                    self._terminate()
                if self.missing and not self.running and not waiting:
                    waiting = True
                    self.reporter.note("waiting for stages that other processes train")
                time.sleep(POLL_SECONDS)
                self._look()
        except BaseException:
            self._terminate()
            raise
        if self.failures:
            raise self.failures[0]

    def _submit(self) -> None:
        self.missing = [spec for spec in self.missing if not is_finished(spec, self.store)]
        if not self.missing:
            return
        free = max(0, self.executor.slots() - len(self.running))
        specs = free_stages(self.missing, self.store)[:free]
        if not specs:
            return
        tasks = [self.task_of(spec) for spec in specs]
        followers = [GroupFollower(spec, self.store) for spec in specs]
        jobs = self.executor.submit(tasks)
        for spec, task, job, follower in zip(specs, tasks, jobs, followers, strict=True):
            self.running.append(_Running(spec, task, job, follower))
            self.starts[spec.key] = self.starts.get(spec.key, 0) + 1
        self.missing = [spec for spec in self.missing if spec not in specs]

    def _look(self) -> None:
        """Report what is new of the jobs that run, and collect those that have ended."""
        for one in list(self.running):
            code = one.job.poll()
            one.follower.report_new(self.reporter, {})
            if code is not None:
                self.running.remove(one)
                one.follower.report_end(self.reporter)
                self._collect(one, code)

    def _collect(self, one: _Running, code: int) -> None:
        report = TaskReport.read(one.task.file)
        files = [one.task.file, TaskReport.file_of(one.task.file)]
        if is_finished(one.spec, self.store) or stop_requested():
            files.append(one.task.log)
        for file in files:
            file.unlink(missing_ok=True)
        for text in report.notes:
            note(text)
        if is_finished(one.spec, self.store):
            return
        if stop_requested():
            self.stopped = self.stopped or one.spec.name
        elif code in FINAL:
            output = one.task.log if one.task.log.exists() else "the output of the job"
            unknown = f"{one.spec.name}: its job ended with exit code {code}; see {output}"
            self._fail(one.spec, report.error or unknown)
        elif self.starts[one.spec.key] < MOST_STARTS:
            self.missing.insert(0, one.spec)
            self.reporter.note(f"{one.spec.name}: {_lost(code)}; it is started again")
        else:
            self._fail(one.spec, f"{one.spec.name}: {_lost(code)}, {MOST_STARTS} times. {LOST_REMEDY}")

    def _fail(self, failed: StageSpec, message: str) -> None:
        """Keep a failure, and leave out what starts from the stage."""
        self.failures.append(RunError(message))
        keys = {own.key for own in failed.group}
        self.missing = [spec for spec in self.missing if keys.isdisjoint(before.key for before in spec.chain)]
        if self.running or self.missing:
            self.reporter.note(f"{message} Stages that do not start from it are trained first.")

    def _terminate(self) -> None:
        for one in self.running:
            one.job.terminate()


def _lost(code: int) -> str:
    """Return how a job was lost."""
    how = f"ended with exit code {code}" if code else "ended"
    return f"its job {how} before the stage was finished"
