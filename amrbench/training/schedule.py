"""Train the stages of several recipes, side by side where they do not wait for each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from amrbench.data.workers import worker_pool
from amrbench.errors import RunError
from amrbench.training import log
from amrbench.training.progress import QUIET, Reporter
from amrbench.training.stages import Spec, is_finished, left_out, making, stage

LOOK_AGAIN = 0.3
"""Seconds between two looks at the logs of stages at work."""


def missing(chains: Sequence[Spec], store: Path) -> list[Spec]:
    """Return the stages that are not in the store, each once, none before the one it starts from."""
    found = {spec.key: spec for last in chains for spec in last.chain if not is_finished(spec, store)}
    return list(found.values())


def train_all(chains: Sequence[Spec], store: Path, *, jobs: int, tell: Reporter) -> None:
    """Train all that is missing for some chains of stages.

    Args:
        chains: The last stage of each.
        store: The folder of stages.
        jobs: Processes at work at once; has no influence on the weights.
        tell: Told about each epoch.

    Raises:
        AmrbenchError: As `stage`.
        RunError: A process was killed.
    """
    todo = missing(chains, store)
    store.mkdir(parents=True, exist_ok=True)
    if jobs == 1 or len(todo) < 2:
        once = _Once(tell)
        for spec in todo:
            once.note(left_out(spec))
            stage(spec, store, tell)
        return
    try:
        with worker_pool(min(jobs, len(todo))) as pool:
            _Schedule(pool, store, tell).train(todo)
    except BrokenProcessPool as error:
        raise RunError(
            "a process that trains ended unasked; was it killed, or is memory short? Finished stages are "
            "kept: start again, with a smaller --jobs if memory was short. In a script of your own, put the "
            "call under `if __name__ == '__main__':`, because workers import the script."
        ) from error


class _Once:
    """Tells sentences, each once: what is true of a stage is true of all its seeds."""

    def __init__(self, tell: Reporter) -> None:
        self.tell = tell
        self.said = {""}

    def note(self, text: str) -> None:
        """Tell a sentence, unless it is empty or was told before."""
        if text not in self.said:
            self.said.add(text)
            self.tell.note(text)


class _Schedule:
    """Hands out stages as soon as the one they start from is finished."""

    def __init__(self, pool: Executor, store: Path, tell: Reporter) -> None:
        self.pool = pool
        self.store = store
        self.tell = tell
        self.once = _Once(tell)
        self.working: dict[Future[str], _Follower] = {}

    def train(self, todo: Sequence[Spec]) -> None:
        waiting = list(todo)
        while waiting or self.working:
            ready = [each for each in waiting if not each.parent or is_finished(each.parent, self.store)]
            waiting = [each for each in waiting if each not in ready]
            for spec in ready:
                self.working[self.pool.submit(_in_worker, spec, self.store)] = _Follower(spec, self.store)
            self._wait()

    def _wait(self) -> None:
        done, _ = wait(self.working, timeout=LOOK_AGAIN, return_when=FIRST_COMPLETED)
        for follower in self.working.values():
            follower.look(self.tell)
        for future in done:
            self.once.note(future.result())
            del self.working[future]


class _Follower:
    """Tells what a stage at work in another process writes into its log."""

    def __init__(self, spec: Spec, store: Path) -> None:
        self.spec = spec
        self.store = store
        self.told = 0
        self.began = time.time()

    def look(self, tell: Reporter) -> None:
        """Tell the epochs that ended since the last look."""
        finished = is_finished(self.spec, self.store)
        folder = self.store / self.spec.key if finished else making(self.spec, self.store)
        file = folder / log.FILE
        for epoch in _epochs(file, since=self.began)[self.told :]:
            tell.epoch(self.spec.working, epoch)
            self.told = epoch.epoch


def _epochs(file: Path, *, since: float) -> list[log.Epoch]:
    try:
        # What an earlier, killed process left behind is about to be written anew.
        return log.read_epochs(file) if file.stat().st_mtime >= since else []
    except FileNotFoundError:
        return []  # Not begun yet, or just finished and renamed: the next look finds it.


def _in_worker(spec: Spec, store: Path) -> str:
    stage(spec, store, QUIET)
    return left_out(spec)
