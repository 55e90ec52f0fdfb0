"""Train the stages of several recipes, as many at the same time as there are processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path

from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.worker_pool import worker_pool
from amrbench.training import log
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stages import StageSpec, is_finished, run_stage, unfinished_folder, untrainable_note

POLL_SECONDS = 0.3
"""Time between two readings of the logs of running stages."""


def missing_stages(chains: Sequence[StageSpec], store: Path) -> list[StageSpec]:
    """Return the stages that are not in the store, each once and after the stage that it starts from."""
    missing = {spec.key: spec for last in chains for spec in last.chain if not is_finished(spec, store)}
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
        AmrbenchError: See `run_stage`.
        RunError: A process was killed.
    """
    missing = missing_stages(chains, store)
    store.mkdir(parents=True, exist_ok=True)
    if jobs == 1 or len(missing) < 2:
        notes = _Notes(reporter)
        for spec in missing:
            notes.add(untrainable_note(spec, datasets))
            run_stage(spec, store, reporter, datasets)
        return
    with worker_pool(min(jobs, len(missing)), "trains") as pool:
        _Queue(pool, store, reporter).train(missing)


class _Notes:
    """Reports each sentence once, because all seeds of a stage give the same one."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.reported = {""}

    def add(self, text: str) -> None:
        if text not in self.reported:
            self.reported.add(text)
            self.reporter.note(text)


class _Queue:
    """Gives stages to the workers as soon as the stage that they start from is finished."""

    def __init__(self, pool: Executor, store: Path, reporter: Reporter) -> None:
        self.pool = pool
        self.store = store
        self.reporter = reporter
        self.notes = _Notes(reporter)
        self.running: dict[Future[str], _LogFollower] = {}

    def train(self, missing: Sequence[StageSpec]) -> None:
        waiting = list(missing)
        while waiting or self.running:
            ready = [spec for spec in waiting if not spec.parent or is_finished(spec.parent, self.store)]
            waiting = [spec for spec in waiting if spec not in ready]
            for spec in ready:
                future = self.pool.submit(_train_in_worker, spec, self.store)
                self.running[future] = _LogFollower(spec, self.store)
            self._wait()

    def _wait(self) -> None:
        done, _ = wait(self.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        for follower in self.running.values():
            follower.report_new(self.reporter)
        for future in done:
            self.notes.add(future.result())
            del self.running[future]


class _LogFollower:
    """Reports the epochs that a worker writes into the log of a stage."""

    def __init__(self, spec: StageSpec, store: Path) -> None:
        self.spec = spec
        self.store = store
        self.reported = 0
        self.began = time.time()

    def report_new(self, reporter: Reporter) -> None:
        finished = is_finished(self.spec, self.store)
        folder = self.store / self.spec.key if finished else unfinished_folder(self.spec, self.store)
        for epoch in _epochs(folder / log.FILE, since=self.began)[self.reported :]:
            reporter.epoch(self.spec.running, epoch)
            self.reported = epoch.epoch


def _epochs(file: Path, *, since: float) -> list[log.Epoch]:
    try:
        # An older log was left by a killed process; the worker is about to replace it.
        return log.read_epochs(file) if file.stat().st_mtime >= since else []
    except FileNotFoundError:
        return []  # Not begun yet, or its folder was just renamed.


def _train_in_worker(spec: StageSpec, store: Path) -> str:
    datasets = DatasetCache()
    run_stage(spec, store, NULL_REPORTER, datasets)
    return untrainable_note(spec, datasets)
