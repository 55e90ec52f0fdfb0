"""What a task leaves beside its file for the process that waits for it, and words for one that was lost."""

from __future__ import annotations

import faulthandler
import platform
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from amrbench.data.worker_process import KEPT, crash_location, ending
from amrbench.errors import AmrbenchError
from amrbench.files.atomic import write_text_atomic
from amrbench.interrupts import Interrupted
from amrbench.notes import collected_notes
from amrbench.part import Strict
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.executors import LOST, Task, log_of

FINAL = frozenset({1, 2})
"""Exit codes of a task that would end in the same way once more: a bug, and an error of the input."""


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


@contextmanager
def reported(task: Path, host: str = "", *, report: Callable[[str], object] = str) -> Iterator[None]:
    """Leave a report beside the file of a task, with the notes and the error of what is done inside.

    Args:
        task: The file.
        host: The machine that waits for the task; an error on another one names that.
        report: Called with each note as it is issued.
    """
    error = ""
    with collected_notes(report) as notes:
        try:
            with naming_plugins():
                yield
        except AmrbenchError as failure:
            here = platform.node()
            error = f"on {here}: {failure}" if host and host != here else str(failure)
            raise
        finally:
            TaskReport(notes=tuple(notes), error=error).write(task)


def exit_code_of(task: Path, do: Callable[[], object]) -> int:
    """Do a task in a worker process of this machine.

    Args:
        task: Its file.
        do: Does it, and leaves a report.

    Returns:
        The exit code that the command would have: 0, 1 for a bug, whose traceback is in the log of the task,
        2 for an error, and 128 and the number of the signal if it was stopped.
    """
    with log_of(task).open("a", encoding="utf-8") as log:
        faulthandler.enable(log, all_threads=False)
        try:
            do()
        except Interrupted as stopped:
            return 128 + (stopped.number or signal.SIGINT)
        except AmrbenchError:
            return 2
        except Exception:
            traceback.print_exc(file=log)
            return 1
        finally:
            faulthandler.disable()
    return 0


def remove_files(task: Path, *, trained: bool) -> None:
    """Remove the file and the report of a task, and its log if the stage was trained or the log is empty."""
    log = log_of(task)
    if trained or (log.exists() and not log.stat().st_size):
        log.unlink(missing_ok=True)
    for file in (task, TaskReport.file_of(task)):
        file.unlink(missing_ok=True)


def how_lost(task: Task, code: int, where: str) -> tuple[str, str]:
    """Return how a task was lost, in words, and what to do about it if that happens again and again.

    Args:
        task: That ended before its stage was trained.
        code: Its exit code.
        where: How far the stage was; empty if it had not begun.
    """
    if code == LOST:
        how, why = "was lost with its machine", ""
    elif code == 0:
        how, why = "ended too early", ""
    else:
        how, why = ending(code, crash_location(task.log))
    at = f"at {where}" if where else "before the stage began"
    more = ", with a smaller --jobs, or with more memory or time for a job"
    remedy = more if code in (LOST, -signal.SIGKILL, -signal.SIGTERM) or code > 128 else ""
    return f"{task.name}: its process {how} {at}", f"{why} {KEPT}{remedy}.".lstrip()
