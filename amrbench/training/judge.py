"""What soups may know of weights: how they do on the selection split, and which of them matter there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from amrbench.data.split import Split, visits
from amrbench.files.weights import load_weights, read_weights
from amrbench.soup import Weights
from amrbench.training.criterion import Criterion
from amrbench.training.fisher import diagonal_fisher
from amrbench.training.inference import to_device, validate
from amrbench.training.stages import LAST, WEIGHTS, Spec, split_of
from amrbench.types import Batch, Target


@dataclass(frozen=True)
class Stored:
    """A finished stage as a candidate of a soup."""

    spec: Spec
    store: Path

    @property
    def name(self) -> str:
        """Return e.g. "seed 0"."""
        return f"seed {self.spec.seed}"

    def best(self) -> Weights:
        """Return the weights of the best epoch."""
        return read_weights(self.store / self.spec.key / WEIGHTS)

    def last(self) -> Weights:
        """Return the weights of the last epoch."""
        return read_weights(self.store / self.spec.key / LAST)


class SelectionJudge:
    """Judges weights of a stage by its selection split."""

    def __init__(self, spec: Spec, criterion: Criterion) -> None:
        """Judge with a criterion of the stage, whose weights are overwritten."""
        self.spec = spec
        self.criterion = criterion

    @cached_property
    def fixed(self) -> frozenset[str]:
        """Return the names of tensors that training does not move."""
        trained = {name for name, each in self.criterion.named_parameters() if each.requires_grad}
        return frozenset(self.criterion.state_dict().keys() - trained)

    def performance(self, weights: Weights) -> float:
        """Return the first metric of `training.select`."""
        load_weights(self.criterion, weights, name="a soup")
        select = self.spec.recipe.training.select
        return validate(self.criterion.model, self._split, device=self._device, select=select)[select[0]]

    def fisher(self, weights: Weights, losses: Sequence[str]) -> Weights:
        """Return the diagonal of the empirical Fisher matrix on the CPU."""
        load_weights(self.criterion, weights, name="a candidate of a soup")
        found = diagonal_fisher(self._only(losses), self._samples())
        trained = [(name, each) for name, each in self.criterion.named_parameters() if each.requires_grad]
        nothing = {name: torch.zeros_like(each, dtype=torch.float64) for name, each in trained}
        return {name: each.cpu() for name, each in (nothing | found).items()}

    def _only(self, losses: Sequence[str]) -> nn.Module:
        parts = [part for part in self.spec.recipe.training.losses if part.use in losses]
        views = frozenset(view for part in parts for view in part.views)
        whole = self.criterion
        return Criterion(whole.model, whole.matcher, {use: whole.losses[use] for use in losses}, views)

    def _samples(self) -> Iterator[tuple[Batch, Target]]:
        labels = self.spec.recipe.training.targets.build()
        for place in self._split.trainable:
            batch, target = self._split.training_batch(
                [int(place)], labels=labels, augments=[], rng_of=visits(0, 0)
            )
            yield to_device(batch, self._device), to_device(target, self._device)

    @property
    def _split(self) -> Split:
        return split_of((self.spec.select,), self.spec.recipe.limits)

    @property
    def _device(self) -> torch.device:
        return torch.device(self.spec.device)
