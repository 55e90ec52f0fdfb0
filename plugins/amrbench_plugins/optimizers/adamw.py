"""AdamW, with clipped gradients and a scheduled learning rate.

The report names AdamW and no number. Sources of the defaults: learning rate, weight decay and the decay of
all weights are those of the public baseline; the team's public code has the same two numbers. `betas` are the
defaults of torch, which both use. `decays: matrices` is our choice after the team's public code.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.part import budgeted
from amrbench.slots.optimizers import OptimizerPart, SchedulePart, Updater
from amrbench.types import Losses, TrainingLength
from amrbench_plugins.optimizers.schedules import Constant

Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamW(OptimizerPart):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    In the public baseline all weights decay: biases, norms and learned tokens too. In the team's public code
    biases, norms and tensors of one axis do not decay; with "matrices", learned tokens do not decay either. A
    tensor without a gradient in a step neither moves nor decays.
    """

    use = "adamw"
    lr: float = budgeted(1e-4, "lr", gt=0, description="learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="decay of the weights at learning rate 1")
    decays: Literal["everything", "matrices"] = Field(
        "everything", description="weights that decay: all, or those of linear maps and convolutions only"
    )
    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999), description="decay of the running averages of gradient and square"
    )
    schedule: SchedulePart = Field(default=Constant(), description="learning rate over the stage")

    @override
    def build(self, module: nn.Module, length: TrainingLength) -> Updater:
        optimizer = torch.optim.AdamW(
            self._parameter_groups(module), lr=self.lr, betas=self.betas, fused=True
        )
        return AdamWUpdater(optimizer, rate=self.lr, schedule=self.schedule.build(length), clip=length.clip)

    def _parameter_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        decaying: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                decays = self.decays == "everything" or is_matrix(name, weight)
                (decaying if decays else others).append(weight)
        groups = [
            {"params": decaying, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def is_matrix(name: str, weight: Tensor) -> bool:
    """Whether a parameter maps vectors to vectors; learned tokens and anchors do not."""
    return name.rpartition(".")[2] == "weight" and weight.ndim > 1


class AdamWUpdater(Updater):
    """See `AdamW`."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        rate: float,
        schedule: Callable[[int], float],
        clip: float,
    ) -> None:
        self.optimizer = optimizer
        self.weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.rate = rate
        self.schedule = schedule
        self.clip = clip
        self.steps = 0

    @override
    def step(self, closure: Callable[[], Losses]) -> Losses:
        self.optimizer.zero_grad(set_to_none=True)
        losses = closure()
        losses.total.backward()  # type: ignore[no-untyped-call]
        if self.clip:
            nn.utils.clip_grad_norm_(self.weights, self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * self.schedule(self.steps)
        self.optimizer.step()
        self.steps += 1
        return losses

    @override
    def end_epoch(self) -> None:
        pass  # the schedule counts steps

    @override
    def eval_weights(self) -> AbstractContextManager[None]:
        return nullcontext()
