"""Worker processes, each with one thread, and the one way of running tasks in them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from amrbench.errors import RunError
from amrbench.notes import collected_notes, note

T = TypeVar("T")
R = TypeVar("R")
_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Progress:
    """How much of some work is done, e.g. 8 of 20 recordings."""

    what: str
    done: int
    total: int


Report = Callable[[Progress], None]


def no_report(progress: Progress) -> None:
    """Ignore progress."""


def on_wait(report: Report, what: str) -> Callable[[str], None]:
    """Return a function that reports which process is waited for; see `exclusive`."""
    return lambda holder: report(Progress(f"{what}: waiting for process {holder}, which makes it", 0, 1))


@contextmanager
def worker_pool(jobs: int, doing: str) -> Iterator[Executor]:
    """Offer worker processes; they start with the first task.

    They are spawned, not forked, because forking a process with threads can hang it. Each has one thread,
    because the number of threads decides how sums are split.

    Args:
        jobs: The number of processes.
        doing: What a worker does, for the message, e.g. "extracts features".

    Raises:
        RunError: A process was killed.
    """
    before = {name: value for name, value in os.environ.items() if name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise RunError(
            f"a worker process that {doing} was killed; is memory short? What is finished is kept: give the "
            "same command again, with a smaller --jobs if memory was short. In a script of your own, put the "
            "call under `if __name__ == '__main__':`, because workers import the script."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for name in _ONE_THREAD:
            os.environ.pop(name, None)
        os.environ.update(before)


def run_tasks(
    pool: Executor, task: Callable[[T], int], items: Sequence[T], *, progress: Progress, report: Report
) -> None:
    """Run a task for each item in the workers of a pool; the first error cancels what has not begun.

    Args:
        pool: See `worker_pool`.
        task: Does one item and returns how much `done` grows by.
        items: What is left to do; task and items must pickle.
        progress: Before the first item.
        report: Called once before the first item, and after each.
    """
    report(progress)
    futures = [pool.submit(with_notes, task, item) for item in items]
    try:
        for future in as_completed(futures):
            done, notes = future.result()
            for text in notes:
                note(text)
            progress = replace(progress, done=progress.done + done)
            report(progress)
    finally:
        for future in futures:
            future.cancel()


def with_notes(task: Callable[[T], R], item: T) -> tuple[R, list[str]]:
    """Return what a task returns, and the notes it issued, so that the parent process can issue them."""
    with collected_notes() as notes:
        return task(item), notes


def _end_with_parent() -> None:
    """Start a thread that ends this worker if its parent is killed; otherwise the worker would never end."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
