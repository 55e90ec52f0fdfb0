"""Worker processes, each with one thread, and the one way of running tasks in them."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from typing_extensions import override

from amrbench.data.out_of_memory import explained_memory
from amrbench.data.worker_process import (
    KEPT,
    NO_GUARD,
    crash_location,
    ending,
    ignore_ctrl_c,
    one_thread,
)
from amrbench.data.worker_status import WorkerStatus, read_statuses, report_status, start_reporting
from amrbench.errors import RunError
from amrbench.notes import collected_notes, note
from amrbench.plugin_errors import naming_plugins

T = TypeVar("T")
R = TypeVar("R")
_LOOK_SECONDS = 1.0
"""Time between two looks at what the workers do."""
_JOIN_SECONDS = 2.0
"""Longest time that ended workers are waited for."""
LESS_MEMORY = "Give the same command with a smaller --jobs, or end other programs; what is finished is kept."


@dataclass(frozen=True)
class Progress:
    """How much of some work is done, e.g. 8 of 20 recordings.

    Attributes:
        what: The work.
        done: Finished parts of it.
        total: Parts in all; 0 for work without parts, which is shown until the next report.
    """

    what: str
    done: int
    total: int

    def text(self) -> str:
        """Return e.g. "toy train: audio: 8 of 20"."""
        return f"{self.what}: {self.done} of {self.total}" if self.total else self.what


Report = Callable[[Progress], None]


def no_report(progress: Progress) -> None:
    """Ignore progress."""


def on_wait(report: Report, what: str) -> Callable[[str], None]:
    """Return a function that reports which process is waited for; see `exclusive`."""
    return lambda holder: report(Progress(f"{what}: waiting for process {holder}, which makes it", 0, 1))


class WorkerPool(Executor):
    """Worker processes that report what they do."""

    def __init__(self, jobs: int, doing: str, folder: Path) -> None:
        """`doing` is what a worker does, for messages; `folder` is for the reports."""
        self.jobs = jobs
        self.doing = doing
        self.folder = folder
        self._pool = ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(folder,)
        )
        self._processes: dict[int, BaseProcess] = {}

    @override
    def submit(self, task: Callable[..., R], /, *args: Any, **options: Any) -> Future[R]:
        future = self._pool.submit(task, *args, **options)
        # The pool forgets processes while it ends them.
        self._processes.update(self._pool._processes or {})
        return future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def terminate(self) -> None:
        """End the workers, in the middle of their tasks."""
        for process in self._processes.values():
            process.terminate()

    def statuses(self) -> list[WorkerStatus]:
        """Return what the workers do."""
        return list(read_statuses(self.folder).values())

    def death(self) -> RunError:
        """Return the error for a worker that ended, with what it did and how it ended."""
        # The pool joins them at the same time; an exit code may come a moment later.
        until = time.monotonic() + _JOIN_SECONDS
        while any(one.exitcode is None for one in self._processes.values()) and time.monotonic() < until:
            time.sleep(0.01)
        # The pool ends the other workers with SIGTERM.
        codes = {pid: process.exitcode for pid, process in self._processes.items() if process.exitcode}
        first = [pid for pid, code in codes.items() if code != -signal.SIGTERM] or list(codes)
        if not first:
            return RunError(f"a worker process that {self.doing} ended. {KEPT}.")
        status = read_statuses(self.folder).get(first[0], WorkerStatus())
        code = codes[first[0]] or 0
        how, why = ending(code, crash_location(self.folder / f"{first[0]}.crash"))
        if not status.task:
            return RunError(f"a worker process that {self.doing} {how} at its start. {KEPT}. {NO_GUARD}")
        fewer = f"with a smaller --jobs than {self.jobs}" if self.jobs > 1 else "after ending other programs"
        remedy = f", {fewer} if memory was short" if -code in (signal.SIGKILL, signal.SIGTERM) else ""
        return RunError(f"a worker process that {self.doing} {how} at {status.text()}. {why} {KEPT}{remedy}.")


@contextmanager
def worker_pool(jobs: int, doing: str) -> Iterator[WorkerPool]:
    """Offer worker processes; they start with the first task.

    They are spawned, not forked, because forking a process with threads can hang it.

    Args:
        jobs: The number of processes.
        doing: What a worker does, for the message, e.g. "extracts features".

    Raises:
        RunError: A process was killed, crashed or ended itself.
    """
    with one_thread(), TemporaryDirectory(prefix="amrbench-", ignore_cleanup_errors=True) as folder:
        pool = WorkerPool(jobs, doing, Path(folder))
        try:
            yield pool
        except BrokenProcessPool as error:
            raise pool.death() from error
        except KeyboardInterrupt:
            pool.terminate()  # Workers ignore Ctrl-C themselves.
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def run_tasks(
    pool: WorkerPool, task: Callable[[T], int], items: Sequence[T], *, progress: Progress, report: Report
) -> None:
    """Run a task for each item in the workers of a pool; the first error cancels what has not begun.

    Args:
        pool: See `worker_pool`.
        task: Does one item and returns how much `done` grows by. While it runs, it may report how far it is
            with `report_status`.
        items: What is left to do; task and items must pickle.
        progress: Before the first item.
        report: Called once before the first item, and whenever more is done.
    """
    report(progress)
    futures = {pool.submit(with_notes, partial(_reported, task, progress.what), item) for item in items}
    running, shown = futures, progress.done
    try:
        while running:
            finished, running = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                done, notes = future.result()
                for text in notes:
                    note(text)
                progress = replace(progress, done=progress.done + done)
                shown = max(shown, progress.done)
                report(replace(progress, done=shown))
            parts = sum(status.done for status in pool.statuses()) if running else 0
            if shown < progress.done + parts <= progress.total:
                shown = progress.done + parts
                report(replace(progress, done=shown))
    finally:
        for future in futures:
            future.cancel()


def with_notes(task: Callable[[T], R], item: T) -> tuple[R, list[str]]:
    """Return what a task returns, and the notes it issued, so that the parent process can issue them."""
    with collected_notes() as notes, naming_plugins():
        return task(item), notes


def _reported(task: Callable[[T], R], what: str, item: T) -> R:
    """Report what this worker does, before and after a task."""
    report_status(WorkerStatus(what))
    with explained_memory(what, LESS_MEMORY):
        result = task(item)
    report_status(WorkerStatus())  # The parts of this task no longer count as those of a running one.
    return result


def _start_worker(folder: Path) -> None:
    """Let a worker report what it does, and end if its parent is killed; otherwise it would never end."""
    start_reporting(folder)
    ignore_ctrl_c()
    parent = parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
