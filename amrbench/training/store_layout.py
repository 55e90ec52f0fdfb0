"""Where stages of training are kept, and which loop made them. No torch."""

from __future__ import annotations

from pathlib import Path

ENGINE = 2
"""Raised when the training loop gives other numbers, so that older stages are not used any more."""
DONE = "done.json"
"""What training recorded, in the folder of a finished stage."""
UNFINISHED = ".making-"
"""Stands between the key of a stage and the process that trains it, in the name of an unfinished folder."""
FAILED = ".failed"
"""How the name of the folder ends in which the step is kept that failed."""
CLAIM = ".claim"
"""How the name of a claim ends; that of stages that are trained at once ends with `.group.claim`."""
TASKS = "tasks"
"""The folder of tasks for executors, in the cache folder."""
RUNNING = "running"
"""The folder of the claims of processes that run recipes, in the cache folder."""


def store_of(cache: Path) -> Path:
    """Return the folder of all stages."""
    return cache / "stages"
