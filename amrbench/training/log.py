"""The log of a stage, one line for each epoch: what was computed, and in another file what it cost.

Training the same stage again gives the same `log.jsonl`; `times.jsonl` has what differs then. While it is
trained, `progress.json` says how far it is, for processes that wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amrbench.errors import RunError
from amrbench.files.status_file import StatusFile, part_of

FILE = "log.jsonl"
TIMES = "times.jsonl"
PROGRESS = "progress.json"
_COSTS: Mapping[str, Any] = {"host": "", "hardware": "", "seconds": 0.0, "memory_mib": 0.0}
"""Fields of an epoch that stand in `times.jsonl`, and what they are where it is not known."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        epoch: Its number, from 1.
        losses: Mean of each term over the steps, weights applied; their sum is minimised.
        val: Metrics on the selection split in percent, by read-out.
        seconds: Time of training and validation.
        memory_mib: Peak memory so far, of the device if one is used, otherwise of the process.
        first: Sum of the terms of the first step, without their signs.
        host: Name of the machine that computed it.
        hardware: Model of its processor or GPU.
    """

    epoch: int
    losses: Mapping[str, float]
    val: Mapping[str, Mapping[str, float]]
    seconds: float
    memory_mib: float
    first: float = 0.0
    host: str = ""
    hardware: str = ""

    @property
    def total(self) -> float:
        """Return the sum of the terms."""
        return sum(self.losses.values())

    @property
    def size(self) -> float:
        """Return the sum of the terms without their signs."""
        return sum(map(abs, self.losses.values()))


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is.

    Attributes:
        epoch: Number of the epoch, from 1.
        done: Steps of the epoch that are done.
        steps: Steps of an epoch; 0 while features are read and the number is not known.
        doing: What is done at the moment: "reading features", "step" or "validation".
    """

    epoch: int
    done: int
    steps: int
    doing: str = "step"

    def text(self, epochs: int) -> str:
        """Return e.g. "epoch 2 of 20, step 5 of 69"."""
        if not self.steps:
            return self.doing
        at = f"step {self.done} of {self.steps}" if self.doing == "step" else self.doing
        return f"epoch {self.epoch} of {epochs}, {at}"

    def where(self) -> str:
        """Return e.g. "epoch 2, after step 5 of 69"."""
        if not self.steps:
            return self.doing
        at = f"after step {self.done} of {self.steps}" if self.doing == "step" else self.doing
        return f"epoch {self.epoch}, {at}"

    def share(self, epochs: int) -> float:
        """Return how much of the stage is done, from 0 to 1; validation counts as nothing."""
        return (self.epoch - 1 + self.done / self.steps) / epochs if self.steps and epochs else 0.0


@dataclass(frozen=True)
class RunningStage:
    """What people are shown of a stage while it is trained.

    Attributes:
        name: E.g. "cgdetr finetune, seed 1".
        epochs: Number of epochs of the stage.
        readout: The read-out whose validation is shown.
        select: The metric that chooses the epoch.
    """

    name: str
    epochs: int
    readout: str
    select: str


class ProgressFile:
    """Writes how far a stage is into its unfinished folder, and passes it on; see `StatusFile`."""

    def __init__(self, folder: Path, report: Callable[[StageProgress], None]) -> None:
        self.file, self.report = StatusFile(folder / PROGRESS), report

    def __call__(self, progress: StageProgress) -> None:
        """Report how far the stage is."""
        self.file.write(asdict(progress), progress.doing)
        self.report(progress)


def read_progress(folder: Path) -> StageProgress | None:
    """Return how far the stage in an unfinished folder is; None if that is not known."""
    try:
        return StageProgress(**json.loads((folder / PROGRESS).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def remove_progress(folder: Path) -> None:
    """Remove what `ProgressFile` has written; it is no part of a finished stage."""
    for file in (folder / PROGRESS, part_of(folder / PROGRESS)):
        file.unlink(missing_ok=True)


def begin(folder: Path) -> None:
    """Write an empty log; RunError if it cannot be written."""
    for name in (FILE, TIMES):
        _write(folder / name, "w", "")


def write_epoch(folder: Path, stage: str, epoch: Epoch) -> None:
    """Add an epoch to a log.

    Args:
        folder: Of the log.
        stage: Name of the stage.
        epoch: The epoch.

    Raises:
        RunError: The log cannot be written.
    """
    computed = asdict(epoch)
    costs = {name: computed.pop(name) for name in _COSTS}
    about = {"stage": stage, "epoch": epoch.epoch}
    # First the costs, because who reads along looks for the other line.
    _write(folder / TIMES, "a", json.dumps(about | costs) + "\n")
    _write(folder / FILE, "a", json.dumps(computed) + "\n")


def _write(path: Path, mode: str, text: str) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror}). Check the folder and the disk, and give the same "
            "command again; what is finished is kept."
        ) from error


def read_epochs(folder: Path) -> list[Epoch]:
    """Return the complete lines of a log; none if there is no log yet.

    What an epoch cost is 0 where it is not known, and the machine an empty text.
    """
    costs = {line.get("epoch"): line for line in _lines(folder / TIMES)}
    return [_epoch(line, costs.get(line["epoch"], {})) for line in _lines(folder / FILE)]


def read_copy(file: Path) -> list[Epoch]:
    """Return the epochs of a copied log; what they cost is not in it and therefore 0."""
    return [_epoch(line, {}) for line in _lines(file)]


def _epoch(computed: Mapping[str, Any], costs: Mapping[str, Any]) -> Epoch:
    return Epoch(**computed, **{name: costs.get(name, unknown) for name, unknown in _COSTS.items()})


def hardware_of(folder: Path) -> str:
    """Return the models of the processors or GPUs that a log names; empty if none is known."""
    known = dict.fromkeys(line.get("hardware", "") for line in _lines(folder / TIMES))
    return "; ".join(filter(None, known))


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]
    except (OSError, ValueError):
        return []
