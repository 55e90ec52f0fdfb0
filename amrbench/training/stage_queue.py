"""Train the stages of several recipes, as many at the same time as there are processes.

Of the stages that can be trained, the one with the longest chain before it is started first, so that no long
chain is left for a single process at the end (list scheduling by levels: Hu 1961; Graham 1969).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from typing_extensions import override

from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.worker_pool import WorkerPool, with_notes, worker_pool
from amrbench.data.worker_status import WorkerStatus, report_status
from amrbench.errors import RunError
from amrbench.files.claim import Claim
from amrbench.interrupts import Interrupted, refuse_to_go_on, stop_requested, stops_between_steps
from amrbench.notes import note
from amrbench.training import log
from amrbench.training.divergence import DivergenceNotes
from amrbench.training.log import RunningStage, StageProgress
from amrbench.training.progress_bars import Reporter
from amrbench.training.stage_group import group_claim_file, run_group
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.training.stage_store import is_finished, is_intact, unfinished_folders

POLL_SECONDS = 0.3
"""Time between two readings of the logs of running stages."""


def missing_stages(chains: Sequence[StageSpec], store: Path, note: Callable[[str], None]) -> list[StageSpec]:
    """Return the stages that are not in the store as they were trained; see `is_intact`.

    Each is there once, and after the stage that it starts from. Of those that are trained at once, the first
    stands for all of them.
    """
    missing: dict[str, StageSpec] = {}
    for spec in distinct_stages(chains):
        if not is_intact(spec, store, note):
            missing.setdefault(spec.group[0].key, spec)
    return list(missing.values())


def train_all(
    chains: Sequence[StageSpec], store: Path, *, jobs: int, reporter: Reporter, datasets: DatasetCache
) -> None:
    """Train all missing stages of some chains.

    Args:
        chains: The last stage of each.
        store: The folder of stages.
        jobs: Number of processes that train at the same time; does not change the weights.
        reporter: Receives each epoch.
        datasets: Used with one job; worker processes have their own.

    Raises:
        AmrbenchError: See `run_group`; stages in other processes are finished before.
        RunError: A process was killed, crashed or ended itself.
    """
    missing = missing_stages(chains, store, note)
    reporter = DivergenceNotes(reporter)
    announce = partial(reporter.note, "stopping after this step; Ctrl-C again stops at once")
    with stops_between_steps(announce):
        if jobs == 1 or len(missing) < 2:
            _train_here(missing, store, reporter, datasets)
            return
        _train_with(min(jobs, len(missing)), missing, store, reporter)


def _train_here(
    missing: Sequence[StageSpec], store: Path, reporter: Reporter, datasets: DatasetCache
) -> None:
    """Train stages in this process; those that other processes train meanwhile are waited for at the end."""
    while missing:
        ready = free_stages(missing, store) or missing[:1]
        run_group(ready[0], store, reporter, datasets)
        refuse_to_go_on(ready[0].name)
        missing = [spec for spec in missing if not is_finished(spec, store)]


def free_stages(missing: Sequence[StageSpec], store: Path) -> list[StageSpec]:
    """Return the stages that can be trained and that no process trains, in their order."""
    ready = (spec for spec in missing if is_ready(spec, store))
    return [spec for spec in ready if Claim(group_claim_file(spec, store)).is_free()]


def _train_with(jobs: int, missing: list[StageSpec], store: Path, reporter: Reporter) -> None:
    """Train stages in several processes."""
    stages = longest_first(missing, expected_work)
    try:
        with worker_pool(jobs, "trains") as pool:
            _Workers(pool, jobs, stages, store, reporter).train()
    except RunError:
        # A batch system sends its signal to the workers too, and they end before they are asked.
        refuse_to_go_on(stages[0].name)
        raise
    refuse_to_go_on(stages[-1].name)


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


class _Workers:
    """Stages that are trained in as many workers as there are, the first of a list that are ready."""

    def __init__(
        self, pool: WorkerPool, jobs: int, missing: list[StageSpec], store: Path, reporter: Reporter
    ) -> None:
        self.pool = pool
        self.jobs = jobs
        self.missing = missing
        self.store = store
        self.reporter = reporter
        self.running: dict[Future[tuple[None, list[str]]], GroupFollower] = {}
        self.failure: BaseException | None = None

    def train(self) -> None:
        """Train all stages; after a failure, only those that were begun."""
        while self.running or (self.missing and not self._ending()):
            if not self._ending():
                self._start()
            done, _ = wait(self.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            if stop_requested():
                self.pool.ask_to_stop()
            statuses = {status.task: status for status in self.pool.statuses()}
            for follower in self.running.values():
                follower.report_new(self.reporter, statuses)
            for future in done:
                self._collect(future)
        if self.failure:
            raise self.failure

    def _ending(self) -> bool:
        return self.failure is not None or stop_requested()

    def _start(self) -> None:
        # What waits in the pool could no longer be overtaken by a stage that gets ready.
        free = self.jobs - len(self.running)
        self.missing = [spec for spec in self.missing if not is_finished(spec, self.store)]
        ready = free_stages(self.missing, self.store)[:free]
        if not self.running and not ready:
            # Other processes train all that could be trained: a worker waits for one of them.
            ready = [spec for spec in self.missing if is_ready(spec, self.store)][:1]
        self.missing = [spec for spec in self.missing if spec not in ready]
        task = partial(_train_in_worker, store=self.store)
        for spec in ready:
            self.running[self.pool.submit(with_notes, task, spec)] = GroupFollower(spec, self.store)

    def _collect(self, future: Future[tuple[None, list[str]]]) -> None:
        """Issue the notes of a stage that has ended, or remember why it failed."""
        self.running.pop(future).report_end(self.reporter)
        try:
            _, issued = future.result()
        except BrokenProcessPool:
            raise
        except Interrupted as stopped:
            self.failure = self.failure or stopped
        except Exception as error:
            if self.running:
                self.reporter.note(f"{error} Other stages that are trained at the moment are finished first.")
            self.failure = self.failure or error
        else:
            for text in issued:
                note(text)


def is_ready(spec: StageSpec, store: Path) -> bool:
    """Whether a stage can be trained: it starts from no other, or that one is finished."""
    return not spec.parent or is_finished(spec.parent, store)


_datasets = DatasetCache()
"""Of a worker process, which trains several stages on the same splits."""


def _train_in_worker(spec: StageSpec, store: Path) -> None:
    try:
        with stops_between_steps():
            run_group(spec, store, StatusReporter(spec.name), _datasets)
    except Interrupted as error:
        if error.number:  # Asked by a signal, not by its parent, which may be gone.
            os._exit(128 + error.number)
        raise


class StatusReporter(Reporter):
    """Reports of a worker process, which the parent process reads; epochs are in the log of the stage."""

    def __init__(self, task: str) -> None:
        self.task = task
        report_status(WorkerStatus(task))

    @override
    def note(self, text: str) -> None:
        report_status(WorkerStatus(self.task, text))

    @override
    def step(self, stage: RunningStage, progress: StageProgress) -> None:
        at = progress.doing
        report_status(WorkerStatus(self.task, at, progress.epoch, progress.done, progress.steps))


class GroupFollower:
    """Follows the logs of all stages that another process trains at once; mostly one."""

    def __init__(self, spec: StageSpec, store: Path) -> None:
        self.followers = [_LogFollower(own, store) for own in spec.group]

    def report_new(self, reporter: Reporter, statuses: Mapping[str, WorkerStatus]) -> None:
        """Report what is new of each; statuses are by the name of the stage."""
        for follower in self.followers:
            follower.report_new(reporter, statuses.get(follower.spec.name))

    def report_end(self, reporter: Reporter) -> None:
        """Report that none of them is trained any more."""
        for follower in self.followers:
            reporter.end(follower.spec.running)


class _LogFollower:
    """Reports the epochs that a worker writes into the log of a stage."""

    def __init__(self, spec: StageSpec, store: Path) -> None:
        self.spec = spec
        self.store = store
        self.reported = 0
        self.began = time.time()

    def report_new(self, reporter: Reporter, status: WorkerStatus | None) -> None:
        """Report the epochs since the last call, and what the worker does."""
        self._report_epochs(reporter)
        if status and status.epoch > self.reported:
            progress = StageProgress(status.epoch, status.done, status.total, status.at)
            reporter.step(self.spec.running, progress)

    def _report_epochs(self, reporter: Reporter) -> None:
        try:
            folders = [self.store / self.spec.key, *reversed(unfinished_folders(self.spec, self.store))]
            folder = next(folder for folder in folders if folder.exists())
            if (folder / log.FILE).stat().st_mtime < self.began:
                return  # Left by a killed process; the worker is about to replace it.
        except (FileNotFoundError, StopIteration):
            return  # Not begun yet, or the folder was just renamed.
        for epoch in log.read_epochs(folder)[self.reported :]:
            reporter.epoch(self.spec.running, epoch)
            self.reported = epoch.epoch
