"""Exponential moving average of weights.

The report does not mention it. Sources of the defaults: an update after each epoch, a decay of 0.99 and the
start at an eighth of the stage (epoch 25 of 200) are those of the team's public code; `horizon`, a decay
relative to the length of the stage, is our choice. That code saves the raw weights of the epoch whose average
scored best, and averages integers too. Here the average is both scored and saved, and buffers are the
model's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from amrbench.part import problem
from amrbench.slots.optimizers import OptimizerPart, Updater
from amrbench.types import Losses, TrainingLength

DECAY = 0.99
"""The decay if neither `decay` nor `horizon` is given."""


class Ema(OptimizerPart):
    """Score and save a moving average of the weights instead of the last weights.

    m <- decay m + (1 - decay) theta, after an epoch or after a step; before `start`, m is a copy of theta.
    Only trainable weights are averaged; buffers, e.g. counters, are those of the model itself. A decay suits
    one length of a stage; a `horizon` is relative to it: 0.5 of 200 epochs is a decay of 0.99.
    """

    use = "ema"
    example: ClassVar[Mapping[str, Any]] = {"around": "adamw"}
    decay: float | None = Field(
        None, ge=0, le=1, description=f"factor of the old average in an update; {DECAY} without a horizon"
    )
    horizon: float | None = Field(
        None,
        gt=0,
        description="instead of decay: fraction of the stage after which weights count 1/e as much",
    )
    every: Literal["epoch", "step"] = Field("epoch", description="when the average is updated")
    start: float = Field(0.125, ge=0, le=1, description="fraction of the stage before the averaging")
    around: OptimizerPart = Field(description="the optimizer that moves the weights")

    @model_validator(mode="after")
    def _one_of_decay_and_horizon(self) -> Ema:
        if self.decay is not None and self.horizon is not None:
            raise problem(
                f"decay is {self.decay:g} and horizon {self.horizon:g}, but both set how long weights count; "
                "give one of them."
            )
        return self

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        inner = self.around.build(module, length)
        kind, updates = (StepAverage, length.steps) if self.every == "step" else (EpochAverage, length.epochs)
        return kind(module, inner, decay=self.decay_over(updates), copies=round(self.start * updates))

    def decay_over(self, updates: int) -> float:
        """Return the decay for a stage of this number of updates."""
        if self.horizon is None:
            return DECAY if self.decay is None else self.decay
        return math.exp(-1 / (self.horizon * max(1, updates)))


class Average(Updater):
    """An updater around another; `update` averages the weights, and its first `copies` calls copy them."""

    def __init__(self, module: nn.Module, around: Updater, *, decay: float, copies: int) -> None:
        self.around = around
        self.weights: list[Tensor] = [weight for weight in module.parameters() if weight.requires_grad]
        self.mean = [weight.detach().clone() for weight in self.weights]
        self.decay = decay
        self.copies = copies

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the current weights."""
        if self.copies > 0:
            self.copies -= 1
            torch._foreach_copy_(self.mean, self.weights)
        else:
            torch._foreach_lerp_(self.mean, self.weights, 1 - self.decay)

    @override
    @contextmanager
    def eval_weights(self) -> Iterator[None]:
        with self.around.eval_weights():
            kept = [weight.detach().clone() for weight in self.weights]
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.mean)
            try:
                yield
            finally:
                with torch.no_grad():
                    torch._foreach_copy_(self.weights, kept)


class EpochAverage(Average):
    """An average over epochs."""

    @override
    def step(self, closure: Callable[[], Losses]) -> Losses:
        return self.around.step(closure)

    @override
    def end_epoch(self) -> None:
        self.around.end_epoch()
        self.update()


class StepAverage(Average):
    """An average over steps."""

    @override
    def step(self, closure: Callable[[], Losses]) -> Losses:
        losses = self.around.step(closure)
        self.update()
        return losses

    @override
    def end_epoch(self) -> None:
        self.around.end_epoch()
