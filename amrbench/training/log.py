"""The log of a stage: log.jsonl, one line for each epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "log.jsonl"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        epoch: Its number, from 1.
        losses: Mean of each term over the steps, weights applied; their sum is minimised.
        val: Metrics on the selection split, in percent.
        seconds: Time of training and validation.
        memory_mib: Peak memory so far, of the device if one is used, otherwise of the process.
    """

    epoch: int
    losses: Mapping[str, float]
    val: Mapping[str, float]
    seconds: float
    memory_mib: float

    @property
    def total(self) -> float:
        """Return the sum of the terms."""
        return sum(self.losses.values())


@dataclass(frozen=True)
class RunningStage:
    """What people are shown of a stage while it is trained.

    Attributes:
        name: E.g. "cgdetr finetune, seed 1".
        epochs: Number of epochs of the stage.
        select: The metric that chooses the epoch.
    """

    name: str
    epochs: int
    select: str


def write_epoch(path: Path, epoch: Epoch) -> None:
    """Add a line to a log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(epoch)) + "\n")


def read_epochs(path: Path) -> list[Epoch]:
    """Return the complete lines of a log; none if there is no log yet."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError:
        return []
    return [Epoch(**json.loads(line)) for line in lines[:-1]]
