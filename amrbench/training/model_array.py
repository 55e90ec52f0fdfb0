"""Several models of one recipe as one: their weights are stacked, and `torch.vmap` runs all of them at once.

A GPU takes as long to start a kernel for one model as for many.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from amrbench.training.criterion import Criterion
from amrbench.types import Batch, Losses, Target

D = TypeVar("D", Batch, Target)
CLOSE = 1e-3
"""Largest difference of the losses of a model in an array and alone, relative to losses above 1."""


class CriterionArray(Criterion):
    """K criteria as one: its parameters and buffers have one more axis in front, and theirs are slices."""

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        """Stack the tensors of criteria with equal parts; from then on they share memory."""
        first = copy.deepcopy(criteria[0])
        super().__init__(first.model, first.matcher, dict(first.losses.items()), first.views)
        self.criteria = tuple(criteria)  # A tuple, so that their parameters are not registered too.
        for kind in zip(*((own.parameters(), own.buffers()) for own in (self, *criteria)), strict=True):
            for stacked, *own in zip(*kind, strict=True):
                stacked.data = torch.stack([tensor.data for tensor in own])
                for number, tensor in enumerate(own):
                    tensor.data = stacked.data[number]

    @override
    def train(self, mode: bool = True) -> CriterionArray:
        self.criteria[0].train(mode)
        return super().train(mode)

    @override
    def forward(self, batch: Batch, target: Target, step: int = 0) -> Losses:
        """Return the losses (K,) of stacked batches: those of each model with its own batch."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}

        def of_one(
            own: dict[str, Tensor], inputs: tuple[Tensor, ...], truth: tuple[Tensor, ...]
        ) -> tuple[Tensor, dict[str, Tensor]]:
            losses: Losses = functional_call(self.criteria[0], own, (Batch(*inputs), Target(*truth), step))
            return losses.total, dict(losses.terms)

        total, terms = torch.vmap(of_one, randomness="different")(tensors, _values(batch), _values(target))
        return Losses(total, terms)

    @torch.no_grad()
    def fault(self, batch: Batch, target: Target) -> str:
        """Return why the models cannot be trained at once; empty if they can.

        Parts of third parties may do what `torch.vmap` does not allow, or keep tensors that it does not see.
        So losses without dropout are compared with those of each model alone; weights and the random state
        stay as they are.
        """
        self.eval()
        kept = [buffer.clone() for buffer in self.buffers()]
        try:
            with torch.random.fork_rng([batch.audio.device] if batch.audio.is_cuda else []):
                together = self(batch, target).total
                alone = [
                    criterion.eval()(one(batch, number), one(target, number)).total
                    for number, criterion in enumerate(self.criteria)
                ]
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        finally:
            for buffer, before in zip(self.buffers(), kept, strict=True):
                buffer.copy_(before)
        apart = torch.stack(alone)
        if bool(((together - apart).abs() <= CLOSE * apart.abs().clamp(min=1)).all()):
            return ""
        return f"their losses are {together.tolist()} at once and {apart.tolist()} one after another"


def stack(items: Sequence[D]) -> D:
    """Return batches or targets as one, with one more axis in front, padded to common sizes."""
    columns = zip(*map(_values, items), strict=True)
    return type(items[0])(*(_stack_padded(tensors) for tensors in columns))


def one(stacked: D, number: int) -> D:
    """Return the batch or target of one model."""
    return replace(stacked, **{name: tensor[number] for name, tensor in vars(stacked).items()})


def _values(item: Batch | Target) -> tuple[Tensor, ...]:
    return tuple(getattr(item, field.name) for field in fields(item))


def _stack_padded(tensors: Sequence[Tensor]) -> Tensor:
    sizes = [max(own) for own in zip(*(tensor.shape for tensor in tensors), strict=True)]
    stacked = tensors[0].new_zeros(len(tensors), *sizes)
    for row, tensor in zip(stacked, tensors, strict=True):
        row[tuple(map(slice, tensor.shape))] = tensor
    return stacked
