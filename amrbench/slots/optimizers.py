"""Optimizers and their schedules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import Losses, TrainingLength


class Updater(Protocol):
    """Turns gradients into better weights."""

    def step(self, closure: Callable[[], Losses]) -> Losses:
        """Move the weights once and return what the first call of `closure` gave.

        `closure` does the forward pass and the losses; it may be called as often as the method needs.
        """

    def end_epoch(self) -> None:
        """Be told that an epoch is over."""

    def eval_weights(self) -> AbstractContextManager[None]:
        """Within this context the modules carry the weights that should be scored and saved."""


class OptimizerPart(Part):
    """How gradients move the weights. Optimizers wrap each other: `around`."""

    slot = "optimizer"

    @abstractmethod
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        """Return an updater for all trainable parameters of the module (model and losses)."""


class SchedulePart(Part):
    """The learning rate over a stage; a field of the optimizers that accept one."""

    slot = "schedule"

    @abstractmethod
    def build(self, length: TrainingLength) -> Callable[[int], float]:
        """Return a function of the step (from 0) to a factor on the learning rate."""
