"""Processes of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize

from amrbench.data.worker_process import KEPT, NO_GUARD, ignore_ctrl_c, one_thread
from amrbench.errors import RunError
from amrbench.interrupts import follow_parent
from amrbench.slots.executors import DEFAULT, ExecutorPart, Task

SPAWN = get_context("spawn")
"""Forking a process with threads can hang it."""


class Local(ExecutorPart):
    """Train in worker processes of this machine, each one stage after another; one that dies is replaced."""

    use = DEFAULT
    on_this_machine = True

    def build(self, jobs: int | None) -> LocalProcesses:
        """See the slot."""
        return LocalProcesses(jobs or 1)


class LocalProcesses:
    """See `Local`. The workers end when nobody has a reference to it any more, or with this process."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.workers: list[Worker] = []
        # Before Python waits for processes that were started.
        Finalize(self, _close, args=(self.workers,), exitpriority=0)

    def slots(self) -> int:
        """Return the number of processes at the same time."""
        return self.jobs

    def submit(self, tasks: Sequence[Task]) -> list[LocalJob]:
        """Give each task to a worker that has none."""
        return [LocalJob(self._free_worker(), task) for task in tasks]

    def _free_worker(self) -> Worker:
        self.workers[:] = [worker for worker in self.workers if worker.process.is_alive()]
        for worker in self.workers:
            if worker.job is None:
                return worker
        self.workers.append(Worker())
        return self.workers[-1]


def _close(workers: Sequence[Worker]) -> None:
    """End workers; those that train save their state before."""
    for worker in workers:
        worker.pipe.close()


class Worker:
    """A process that trains one stage after another, and gets them through a pipe.

    Its first message says that it has begun: tasks are sent to a process that reads them only, because a
    task can be larger than what a pipe holds.
    """

    def __init__(self) -> None:
        self.pipe, its_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=work, args=(its_end,))
        with one_thread():
            self.process.start()
        its_end.close()
        self.begun = False
        self.job: LocalJob | None = None


def work(pipe: Connection) -> None:
    """Train the stages that come through a pipe, until there is no parent or it says to stop."""
    ignore_ctrl_c()
    follow_parent(pipe.poll)  # While a stage is trained, nothing comes but a request to stop, or the end.
    with suppress(EOFError, OSError):
        pipe.send(None)
        while task := pipe.recv():
            pipe.send(task.run())


class LocalJob:
    """A task of a worker."""

    def __init__(self, worker: Worker, task: Task) -> None:
        self.worker, self.task = worker, task
        self.code: int | None = None
        self.asked = False
        worker.job = self
        if worker.begun:
            with suppress(OSError):  # It may have died just now.
                worker.pipe.send(task)

    def poll(self) -> int | None:
        """Return the exit code of the task, or that of its process if it has died.

        Raises:
            RunError: The process ended itself at its start, as every other one would.
        """
        if self.code is None:
            died = self.worker.process.exitcode  # Before its last words are read.
            with suppress(EOFError, OSError):
                self._read()
            if self.code is None and died is not None:
                self._end(died)
        return self.code

    def terminate(self) -> None:
        """Let the worker save and end; kill it if it was asked before."""
        if self.code is not None:
            return
        if self.asked or not self.worker.begun:
            self.worker.process.kill()
        else:
            with suppress(OSError):
                self.worker.pipe.send(None)
        self.asked = True

    def _read(self) -> None:
        worker = self.worker
        while self.code is None and worker.pipe.poll():
            code = worker.pipe.recv()
            if worker.begun:
                self._end(code)
            else:
                worker.begun = True
                worker.pipe.send(self.task)

    def _end(self, code: int) -> None:
        self.code, self.worker.job = code, None
        if code == 1 and not self.worker.begun:
            raise RunError(f"a worker process that trains ended itself at its start. {KEPT}. {NO_GUARD}")
