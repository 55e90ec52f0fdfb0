"""AdamW, with clipped gradients and a scheduled learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.arrays import norms, scale_
from amrbench.slots.optimizers import Updater
from amrbench.types import Losses

Rule = Callable[[str, Tensor], bool]
"""Whether a tensor of this name decays."""


def is_matrix(name: str, weight: Tensor) -> bool:
    """Whether a parameter maps vectors to vectors; learned tokens and anchors do not."""
    return name.rpartition(".")[2] == "weight" and weight.ndim > 1


DECAYS: Mapping[str, Rule] = {"everything": lambda *_: True, "matrices": is_matrix}


def parameter_groups(
    module: nn.Module, weight_decay: float, *, decays: Rule, array: bool = False
) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups for torch: those that decay, and the others."""
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            of_one = weight[0] if array else weight
            (decaying if decays(name, of_one) else others).append(weight)
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def clipping(norm: float, *, array: bool) -> Callable[[Sequence[Tensor]], object]:
    """Return a function that shortens the gradient of some weights to a norm; a norm of 0 clips nothing.

    With an `array` of models it does so for each of them.
    """
    if not norm:
        return lambda _: None
    return partial(clip_each if array else nn.utils.clip_grad_norm_, max_norm=norm)


def clip_each(weights: Sequence[Tensor], max_norm: float) -> None:
    """Do for each model of an array what `torch.nn.utils.clip_grad_norm_` does for one."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    scale_(gradients, (max_norm / (norms(gradients) + 1e-6)).clamp(max=1))


class AdamWUpdater(Updater):
    """Clips the norm of all gradients, then takes a step of AdamW with torch's default betas."""

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        rate: float,
        schedule: Callable[[int], float],
        clip: Callable[[Sequence[Tensor]], object],
    ) -> None:
        """`schedule` maps the step to a factor on the rate; `clip` changes the gradients of some weights."""
        self.optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
        self.weights = [weight for group in groups for weight in group["params"]]
        self.rate = rate
        self.schedule = schedule
        self.clip = clip
        self.steps = 0

    @override
    def step(self, closure: Callable[[], Losses]) -> Losses:
        self.optimizer.zero_grad(set_to_none=True)
        losses = closure()
        losses.total.sum().backward()  # type: ignore[no-untyped-call]
        self.clip(self.weights)
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
