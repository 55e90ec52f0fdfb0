"""Exponential moving average of weights.

The report does not mention it. Sources of the defaults: an update after each epoch, a decay of 0.99 and the
start at an eighth of the stage (epoch 25 of 200) are those of the team's public code; `horizon`, which says
the decay as a share of the stage, is our choice. That code saves the raw weights of the epoch whose average
did best, and averages integers too; here what is saved is what was scored, and buffers are the model's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from amrbench.part import problem
from amrbench.slots.optimizers import OptimizerPart, Updater
from amrbench.types import Losses, TrainingLength

DECAY = 0.99
"""Share of the average that an update keeps where nothing else is said."""


class Ema(OptimizerPart):
    """Score and save an average of the weights along the way instead of the last ones.

    m <- decay m + (1 - decay) theta, after an epoch or after a step; before `start` m is a plain copy. Only
    trainable weights are averaged; buffers, counters among them, are those of the model itself. A decay
    suits one length of a stage; a `horizon` is a share of it, and 0.5 of 200 epochs is a decay of 0.99.
    """

    use = "ema"
    example: ClassVar[Mapping[str, Any]] = {"around": "adamw"}
    decay: float | None = Field(
        None, ge=0, le=1, description=f"share of the average that an update keeps; {DECAY} without a horizon"
    )
    horizon: float | None = Field(
        None, gt=0, description="instead of decay: share of the stage after which weights count 1/e"
    )
    every: Literal["epoch", "step"] = Field("epoch", description="when the average is updated")
    start: float = Field(0.125, ge=0, le=1, description="share of the stage before averaging begins")
    around: OptimizerPart = Field(description="the optimizer that moves the weights")

    @model_validator(mode="after")
    def _says_it_once(self) -> Ema:
        if self.decay is not None and self.horizon is not None:
            raise problem(
                f"decay is {self.decay:g} and horizon {self.horizon:g}, but each of them says how long "
                "weights count; give one."
            )
        return self

    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        """Return the updater."""
        inner = self.around.build(module, length)
        kind, updates = (StepAverage, length.steps) if self.every == "step" else (EpochAverage, length.epochs)
        return kind(module, inner, decay=self.decay_over(updates), copies=round(self.start * updates))

    def decay_over(self, updates: int) -> float:
        """Return the decay of a stage with this number of updates."""
        if self.horizon is None:
            return DECAY if self.decay is None else self.decay
        return math.exp(-1 / (self.horizon * max(1, updates)))


class Average:
    """Weights averaged at each call of `update`; the first `copies` calls copy them."""

    def __init__(self, module: nn.Module, around: Updater, *, decay: float, copies: int) -> None:
        self.around = around
        self.weights: list[Tensor] = [each for each in module.parameters() if each.requires_grad]
        self.mean = [each.detach().clone() for each in self.weights]
        self.decay = decay
        self.copies = copies

    @torch.no_grad()
    def update(self) -> None:
        """Draw the average towards the weights as they are."""
        if self.copies > 0:
            self.copies -= 1
            torch._foreach_copy_(self.mean, self.weights)
        else:
            torch._foreach_lerp_(self.mean, self.weights, 1 - self.decay)

    @contextmanager
    def eval_weights(self) -> Iterator[None]:
        """Put the average in place of the weights, and the very same weights back afterwards."""
        with self.around.eval_weights():
            kept = [each.detach().clone() for each in self.weights]
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.mean)
            try:
                yield
            finally:
                with torch.no_grad():
                    torch._foreach_copy_(self.weights, kept)


class EpochAverage(Average):
    """An average over epochs."""

    def step(self, closure: Callable[[], Losses]) -> Losses:
        """Let the wrapped optimizer move the weights."""
        return self.around.step(closure)

    def end_epoch(self) -> None:
        """Update the average."""
        self.around.end_epoch()
        self.update()


class StepAverage(Average):
    """An average over steps."""

    def step(self, closure: Callable[[], Losses]) -> Losses:
        """Let the wrapped optimizer move the weights, then update the average."""
        losses = self.around.step(closure)
        self.update()
        return losses

    def end_epoch(self) -> None:
        """Pass it on."""
        self.around.end_epoch()
