"""A small file that says what a process does at the moment, for others that show it to people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

PAUSE_SECONDS = 2.0
"""Time between two statuses that differ in their numbers alone; all others are written at once."""


class StatusFile:
    """Writes a status again and again; a full disk is ignored, because work must not stop for it."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.file, self.clock = file, clock
        self.doing: str | None = None
        self.written = 0.0

    def write(self, status: Mapping[str, Any], doing: str) -> None:
        """Write a status, unless the last one was of the same work and is newer than `PAUSE_SECONDS`.

        Args:
            status: Plain values.
            doing: The work, without numbers that change often.
        """
        now = self.clock()
        if doing == self.doing and now < self.written + PAUSE_SECONDS:
            return
        self.doing, self.written = doing, now
        part = part_of(self.file)
        with suppress(OSError):
            part.write_text(json.dumps(status), encoding="utf-8")
            part.replace(self.file)


def part_of(file: Path) -> Path:
    """Return the file that a status is written to first, so that a reader sees a complete one."""
    return file.with_suffix(".part")
