"""Train the stages of several recipes, as many at the same time as there are processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.worker_pool import worker_pool
from amrbench.training import log
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stages import (
    StageSpec,
    distinct_stages,
    is_finished,
    run_stage,
    unfinished_folder,
    untrainable_note,
)

POLL_SECONDS = 0.3
"""Time between two readings of the logs of running stages."""


def missing_stages(chains: Sequence[StageSpec], store: Path) -> list[StageSpec]:
    """Return the stages that are not in the store, each once and after the stage that it starts from."""
    return [spec for spec in distinct_stages(chains) if not is_finished(spec, store)]


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
    notes = _Notes(reporter)
    if jobs == 1 or len(missing) < 2:
        for spec in missing:
            notes.add(untrainable_note(spec, datasets))
            run_stage(spec, store, reporter, datasets)
        return
    running: dict[Future[str], _LogFollower] = {}
    with worker_pool(min(jobs, len(missing)), "trains") as pool:
        while missing or running:
            # A stage is ready as soon as the one that it starts from is finished.
            ready = [spec for spec in missing if not spec.parent or is_finished(spec.parent, store)]
            missing = [spec for spec in missing if spec not in ready]
            for spec in ready:
                running[pool.submit(_train_in_worker, spec, store)] = _LogFollower(spec, store)
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for follower in running.values():
                follower.report_new(reporter)
            for future in done:
                notes.add(future.result())
                del running[future]


_datasets = DatasetCache()
"""Of a worker process, which trains several stages on the same splits."""


def _train_in_worker(spec: StageSpec, store: Path) -> str:
    run_stage(spec, store, NULL_REPORTER, _datasets)
    return untrainable_note(spec, _datasets)


class _Notes:
    """Reports each sentence once, because all seeds of a stage give the same one."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.reported = {""}

    def add(self, text: str) -> None:
        if text not in self.reported:
            self.reported.add(text)
            self.reporter.note(text)


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
        try:
            if (folder / log.FILE).stat().st_mtime < self.began:
                return  # Left by a killed process; the worker is about to replace it.
        except FileNotFoundError:
            return  # Not begun yet, or the folder was just renamed.
        for epoch in log.read_epochs(folder / log.FILE)[self.reported :]:
            reporter.epoch(self.spec.running, epoch)
            self.reported = epoch.epoch
