"""Observers: what sees a command of runs from its beginning to its end, such as experiment trackers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from pathlib import Path

    from amrbench.types import Plain


@dataclass(frozen=True)
class ObservedRun:
    """A run that begins.

    Attributes:
        name: Unique, e.g. "ours3@synthetic-1f2e3d4c".
        folder: Where its files will be; it may not be there yet.
        recipe: Name of the recipe.
        protocol: Name of the protocol.
        about: Purpose of the protocol, and which encoders stand in for which; what every table says.
        options: Of the recipe, with stand-ins and budget in place.
        stages: Names of all its stages. Those that are found are not trained, and have no epochs.
    """

    name: str
    folder: Path
    recipe: str
    protocol: str
    about: str
    options: Mapping[str, Plain]
    stages: tuple[str, ...]


@dataclass(frozen=True)
class ObservedEpoch:
    """An epoch of a stage that has ended.

    Attributes:
        stage: E.g. "ours3 finetune, seed 1".
        runs: Names of the runs that the stage is of; at least one.
        epoch: Its number, from 1.
        epochs: Number of epochs of the stage.
        losses: Mean of each term over the steps, weights applied; their sum is minimised.
        val: Metrics on the selection split in percent, by read-out.
        seconds: Time of training and validation.
    """

    stage: str
    runs: tuple[str, ...]
    epoch: int
    epochs: int
    losses: Mapping[str, float]
    val: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class ObservedRow:
    """A row of the final table.

    Attributes:
        member: E.g. "seed 0", "mean" or "uniform soup".
        split: That is reported.
        metrics: Percent by name, not rounded; empty if the ground truth is not public.
    """

    member: str
    split: str
    metrics: Mapping[str, float]


class Observer(Protocol):
    """Sees what happens. Its methods are called in the process of the command, whoever trains the stages."""

    def begin(self, runs: Sequence[ObservedRun]) -> None:
        """Called once before training, with all runs of the command, also those that are finished."""

    def epoch(self, epoch: ObservedEpoch) -> None:
        """Called for each epoch of each stage and seed that this command trains.

        A stage that goes on after it was stopped may repeat epochs that were seen before.
        """

    def end(self, run: ObservedRun, rows: Sequence[ObservedRow]) -> None:
        """Called for each run once it is scored, with all rows of its table."""

    def close(self) -> None:
        """Called last, also if `begin` was not called, and if the command fails or is stopped."""


class ObserverPart(Part):
    """What sees a command of runs. It changes no number, and is no part of a recipe or protocol."""

    slot = "observer"
    builds = Observer

    @abstractmethod
    def build(self) -> Observer:
        """Return the observer; nothing is written or connected before `begin`.

        A package that is not installed is an error here, before any work has begun.
        """
