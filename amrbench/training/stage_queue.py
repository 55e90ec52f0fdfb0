"""Train the stages of several recipes, as many at the same time as an executor takes.

Of the stages that can be trained, the one from which the longest chain starts is first, so that no long chain
is left for a single process at the end (list scheduling by levels: Hu 1961; Graham 1969). Results come
through the store alone: a stage is finished when its folder is there. A task that is lost is handed over
again; one that fails ends no other but those that start from its stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amrbench.data.feature_dataset import DatasetCache
from amrbench.errors import RunError
from amrbench.files.claim import Claim
from amrbench.interrupts import refuse_to_go_on, stop_requested, stops_between_steps
from amrbench.notes import note
from amrbench.slots.executors import Executor, Job, Task
from amrbench.training.divergence import DivergenceNotes
from amrbench.training.memory_room import Room
from amrbench.training.progress_bars import Reporter
from amrbench.training.stage_follower import GroupFollower
from amrbench.training.stage_group import group_claim_file, is_group_finished, run_group
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.training.stage_store import is_finished, is_intact
from amrbench.training.task_report import FINAL, TaskReport, how_lost, remove_files

POLL_SECONDS = 0.3
"""Time between two looks at the tasks."""
MOST_STARTS = 3
"""How often a task is handed over before its stage counts as failed."""


def missing_stages(chains: Sequence[StageSpec], store: Path) -> list[StageSpec]:
    """Return the stages that are not in the store as they were trained; see `is_intact`.

    Each is there once, and after the stage that it starts from. Of those that are trained at once, the first
    stands for all of them.
    """
    missing: dict[str, StageSpec] = {}
    for spec in distinct_stages(chains):
        if not is_intact(spec, store):
            missing.setdefault(spec.group[0].key, spec)
    return list(missing.values())


def train_here(missing: Sequence[StageSpec], store: Path, reporter: Reporter, datasets: DatasetCache) -> None:
    """Train stages in this process; those that other processes train meanwhile are waited for at the end.

    Args:
        missing: See `missing_stages`.
        store: The folder of stages.
        reporter: Receives each epoch.
        datasets: The splits that are in memory.

    Raises:
        AmrbenchError: See `run_group`.
    """
    with _stopping(reporter) as reporter:
        while missing:
            ready = free_stages(missing, store) or missing[:1]
            run_group(ready[0], store, reporter, datasets)
            refuse_to_go_on(ready[0].name)
            missing = [spec for spec in missing if not is_group_finished(spec, store)]


def train_with(
    executor: Executor,
    missing: Sequence[StageSpec],
    store: Path,
    *,
    task_of: Callable[[StageSpec], Task],
    room: Room,
    reporter: Reporter,
) -> None:
    """Train stages with an executor.

    Args:
        executor: Trains them.
        missing: See `missing_stages`.
        store: The folder of stages, which all machines share.
        task_of: Writes the task of a stage.
        room: Says whether a further stage fits.
        reporter: Receives each epoch.

    Raises:
        RunError: A stage failed; all that do not start from it are finished before.
    """
    executor.slots()  # Libraries of clusters say what signals do when they connect; what follows must win.
    with _stopping(reporter) as reporter:
        queue = StageQueue(executor, task_of, missing, store, room, reporter)
        queue.train()
        refuse_to_go_on(queue.stopped or missing[0].name)


@contextmanager
def _stopping(reporter: Reporter) -> Iterator[Reporter]:
    """Within this context the first signal stops after a step; offer a reporter that notes divergence."""
    announce = partial(reporter.note, "stopping after this step; Ctrl-C again stops at once")
    with stops_between_steps(announce):
        yield DivergenceNotes(reporter)


# ---------------------------------------------------------------- which stage is next


def free_stages(missing: Sequence[StageSpec], store: Path) -> list[StageSpec]:
    """Return the stages that can be trained and that no process trains, in their order."""
    ready = (spec for spec in missing if not spec.parent or is_finished(spec.parent, store))
    return [spec for spec in ready if Claim(group_claim_file(spec, store)).is_free()]


def longest_first(stages: Sequence[StageSpec], work: Callable[[StageSpec], float]) -> list[StageSpec]:
    """Return stages, those with the longest chain of stages from them on first; equals keep their order.

    Args:
        stages: Each after the stage that it starts from.
        work: The time of a stage, in any unit.
    """
    longest = dict.fromkeys((spec.key for spec in stages), 0.0)
    for spec in reversed(stages):
        longest[spec.key] += work(spec)
        if spec.parent and spec.parent.key in longest:
            longest[spec.parent.key] = max(longest[spec.parent.key], longest[spec.key])
    return sorted(stages, key=lambda spec: -longest[spec.key])


def expected_work(spec: StageSpec) -> float:
    """Return the audio rows that a stage trains on in all its epochs, for which its time is in proportion.

    What a row costs differs between models; this decides the order only.
    """
    limit = spec.recipe.limits.frames
    rows = sum(min(query.duration / source.hop, limit) for source in spec.train for query in source.queries)
    return spec.stage.epochs * rows


# ---------------------------------------------------------------- the queue


@dataclass(frozen=True, eq=False)
class _Running:
    """A stage that is being trained."""

    spec: StageSpec
    task: Task
    job: Job
    follower: GroupFollower


class StageQueue:
    """The stages that are left, and those that were handed over."""

    def __init__(
        self,
        executor: Executor,
        task_of: Callable[[StageSpec], Task],
        missing: Sequence[StageSpec],
        store: Path,
        room: Room,
        reporter: Reporter,
    ) -> None:
        self.executor, self.task_of, self.room = executor, task_of, room
        self.missing, self.store, self.reporter = longest_first(missing, expected_work), store, reporter
        self.running: list[_Running] = []
        self.starts: dict[str, int] = {}
        self.followers: dict[str, GroupFollower] = {}
        self.failures: list[RunError] = []
        self.noted: set[str] = set()
        self.stopped = ""
        """Name of a stage that was stopped on request."""

    def train(self) -> None:
        """Train all stages that can be trained, then raise the first failure."""
        stopping = False
        try:
            while self.running or (self.missing and not stop_requested()):
                if not stop_requested():
                    self._submit()
                elif not stopping:
                    stopping = True
                    self._terminate()
                if self.missing and not self.running:
                    self._note_once("others", "waiting for stages that other processes train")
                time.sleep(POLL_SECONDS)
                self._look()
        except BaseException:
            self._terminate()
            raise
        if self.failures:
            raise self.failures[0]

    def _submit(self) -> None:
        """Hand over the stages that are next."""
        self.missing = [spec for spec in self.missing if not is_group_finished(spec, self.store)]
        specs = self._next() if self.missing else []
        if not specs:
            return
        tasks = [self.task_of(spec) for spec in specs]
        followers = [self._follower(spec) for spec in specs]
        jobs = self.executor.submit(tasks)
        for spec, task, job, follower in zip(specs, tasks, jobs, followers, strict=True):
            self.running.append(_Running(spec, task, job, follower))
            self.starts[spec.key] = self.starts.get(spec.key, 0) + 1
        self.missing = [spec for spec in self.missing if spec not in specs]

    def _follower(self, spec: StageSpec) -> GroupFollower:
        """Return what follows a stage from now on; epochs of a task that was lost are not reported again."""
        if spec.key in self.followers:
            self.followers[spec.key].begin()
        else:
            self.followers[spec.key] = GroupFollower(spec, self.store)
        return self.followers[spec.key]

    def _next(self) -> list[StageSpec]:
        """Return the stages that can begin now; none overtakes one that does not fit into memory."""
        free = max(0, self.executor.slots() - len(self.running))
        specs: list[StageSpec] = []
        for spec in free_stages(self.missing, self.store)[:free]:
            if why_not := self.room.why_not(spec, [*(one.spec for one in self.running), *specs]):
                self._note_once("room", why_not)
                break
            specs.append(spec)
        return specs

    def _look(self) -> None:
        """Report what is new of the stages that run, and collect those that have ended."""
        for one in list(self.running):
            code = one.job.poll()
            self.room.add(one.spec, one.follower.report_new(self.reporter))
            if code is not None:
                self.running.remove(one)
                one.follower.report_end(self.reporter)
                self._collect(one, code)

    def _collect(self, one: _Running, code: int) -> None:
        trained, report = is_group_finished(one.spec, self.store), TaskReport.read(one.task.file)
        remove_files(one.task.file, trained=trained or stop_requested())
        for text in report.notes:
            note(text)
        if trained:
            return
        if stop_requested():
            self.stopped = self.stopped or one.spec.name
        elif code in FINAL:
            output = one.task.log if one.task.log.exists() else "the output of the job"
            unknown = f"{one.spec.name}: its job ended with exit code {code}; see {output}"
            self._fail(one.spec, report.error or unknown)
        else:
            self._begin_again(one, code)

    def _begin_again(self, lost: _Running, code: int) -> None:
        how, remedy = how_lost(lost.task, code, lost.follower.where())
        if self.starts[lost.spec.key] < MOST_STARTS:
            self.missing.insert(0, lost.spec)
            self.reporter.note(f"{how}; it is started again")
        else:
            self._fail(lost.spec, f"{how}, {MOST_STARTS} times. {remedy}")

    def _fail(self, failed: StageSpec, message: str) -> None:
        """Keep a failure, and leave out what starts from the stage."""
        self.failures.append(RunError(message))
        keys = {own.key for own in failed.group}
        self.missing = [spec for spec in self.missing if keys.isdisjoint(before.key for before in spec.chain)]
        if self.running or self.missing:
            self.reporter.note(f"{message} Stages that do not start from it are trained first.")

    def _note_once(self, what: str, text: str) -> None:
        if what not in self.noted:
            self.noted.add(what)
            self.reporter.note(text)

    def _terminate(self) -> None:
        for one in self.running:
            one.job.terminate()
