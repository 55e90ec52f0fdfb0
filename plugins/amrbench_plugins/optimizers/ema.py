"""Exponential moving average of weights.

m <- decay m + (1 - decay) theta, after an epoch or after a step. The report does not mention it. Sources of
the defaults: an update after each epoch, a decay of 0.99 and the start at an eighth of the stage (epoch 25 of
200) are those of the team's public code; a decay relative to the length of the stage is our choice. So is the
horizon of the recipes, a twentieth of the stage in steps: half of a short stage would include weights from
early in training. The team's code saves the raw weights of the epoch whose average scored best, and averages
integers too. Here the average is both scored and saved, and buffers are the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.optimizers import Updater
from amrbench.types import Losses


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
    def step(self, closure: Callable[[], Losses]) -> Losses:
        return self.around.step(closure)

    @override
    def end_epoch(self) -> None:
        self.around.end_epoch()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"around": self.around.state_dict(), "mean": self.mean, "copies": self.copies}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.around.load_state_dict(state["around"])
        self.copies = state["copies"]
        with torch.no_grad():
            torch._foreach_copy_(self.mean, state["mean"])

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
    def end_epoch(self) -> None:
        super().end_epoch()
        self.update()


class StepAverage(Average):
    """An average over steps."""

    @override
    def step(self, closure: Callable[[], Losses]) -> Losses:
        losses = super().step(closure)
        self.update()
        return losses
