"""Optimizers and their schedules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import Losses, TrainingLength


class Updater(Protocol):
    """Updates weights from gradients."""

    def step(self, closure: Callable[[], Losses]) -> Losses:
        """Update the weights once and return the result of the first call of `closure`.

        `closure` computes the forward pass and the losses; the method may call it more than once.
        """

    def end_epoch(self) -> None:
        """Do what follows an epoch; called at the end of each."""

    def eval_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the modules have the weights to score and save."""


class OptimizerPart(Part):
    """How gradients update the weights. Optimizers wrap each other: `around`."""

    slot = "optimizer"
    builds = Updater
    updates_arrays: ClassVar[bool] = False
    """Whether it can update several models at once, each as if it were alone; see `TrainingLength.array`."""

    @abstractmethod
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        """Return an updater for all trainable parameters of the module (model and losses)."""


class LearningRate(Protocol):
    """The learning rate over a stage. It may be a function."""

    def __call__(self, step: int) -> float:
        """Return a factor on the learning rate for a step from 0."""


class SchedulePart(Part):
    """The learning rate over a stage; a field of the optimizers that accept one."""

    slot = "schedule"
    builds = LearningRate

    @abstractmethod
    def build(self, length: TrainingLength) -> Callable[[int], float]:
        """Return a function of the step (from 0) to a factor on the learning rate."""
