"""What each worker process does at the moment, in a small file that outlives the process."""

from __future__ import annotations

import faulthandler
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from amrbench.files.status_file import StatusFile


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker process does.

    Attributes:
        task: E.g. "toy train: audio".
        at: Where in the task it is, e.g. "recording 'a'"; empty if the task has no parts.
        done: Finished parts, e.g. recordings of a shard.
    """

    task: str = ""
    at: str = ""
    done: int = 0

    def text(self) -> str:
        """Return e.g. "toy train: audio, recording 'a'"."""
        return f"{self.task}, {self.at}" if self.at else self.task


class StatusWriter:
    """Writes the status of this process; see `StatusFile`."""

    def __init__(self, folder: Path) -> None:
        self.file = StatusFile(folder / str(os.getpid()))
        self.status = WorkerStatus()

    def write(self, status: WorkerStatus) -> None:
        """Write a status, unless it differs in its numbers alone from the last one."""
        self.status = status
        self.file.write(asdict(status), status.text())


_writer: StatusWriter | None = None


def start_reporting(folder: Path) -> None:
    """Let this process write its status, and the line at which it crashes, into a folder."""
    global _writer
    _writer = StatusWriter(folder)
    with suppress(OSError):
        faulthandler.enable((folder / f"{os.getpid()}.crash").open("w"), all_threads=False)


def report_status(status: WorkerStatus) -> None:
    """Write what this worker process does; in any other process this does nothing."""
    if _writer is not None:
        _writer.write(status)


def report_part(at: str, done: int) -> None:
    """Write how far this worker process is in its task."""
    if _writer is not None:
        _writer.write(replace(_writer.status, at=at, done=done))


def read_statuses(folder: Path) -> dict[int, WorkerStatus]:
    """Return the last status of each worker process by its id; none if somebody has cleaned up the folder."""
    statuses: dict[int, WorkerStatus] = {}
    try:
        files = list(folder.iterdir())
    except OSError:
        return statuses
    for file in files:
        with suppress(OSError, ValueError, TypeError):
            statuses[int(file.name)] = WorkerStatus(**json.loads(file.read_text(encoding="utf-8")))
    return statuses
