"""What soups are given: the candidates, and the answers to what a soup may ask about weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from amrbench.data.feature_dataset import FeatureDataset, visit_rngs
from amrbench.files.weights import load_weights, read_weights
from amrbench.slots.soups import Weights
from amrbench.training.criterion import Criterion
from amrbench.training.predict import to_device, validate
from amrbench.training.stages import LAST, WEIGHTS, StageSpec
from amrbench.types import Batch, Target


@dataclass(frozen=True)
class StoredCandidate:
    """A finished stage as a candidate of a soup."""

    spec: StageSpec
    store: Path

    @property
    def name(self) -> str:
        """Return e.g. "seed 0"."""
        return self.spec.model_name

    def best(self) -> Weights:
        """Return the weights of the best epoch."""
        return read_weights(self.store / self.spec.key / WEIGHTS)

    def last(self) -> Weights:
        """Return the weights of the last epoch."""
        return read_weights(self.store / self.spec.key / LAST)


class SelectionScorer:
    """Scores weights of a stage on its selection split; a `SoupScorer`."""

    def __init__(self, spec: StageSpec, criterion: Criterion, select: FeatureDataset) -> None:
        """Score with a criterion of the stage, whose weights are overwritten, on its selection split."""
        self.spec = spec
        self.criterion = criterion
        self.select = select
        self.device = torch.device(spec.device)

    @cached_property
    def fixed(self) -> frozenset[str]:
        """Return the names of tensors that training does not change."""
        trained = {name for name, weight in self.criterion.named_parameters() if weight.requires_grad}
        return frozenset(self.criterion.state_dict().keys() - trained)

    def performance(self, weights: Weights) -> float:
        """Return the first metric of `training.select`."""
        load_weights(self.criterion, weights, name="a soup")
        select = self.spec.recipe.training.select
        metrics = validate(self.criterion.model, self.select, device=self.device, select=select)
        return metrics[select[0]]

    def fisher(self, weights: Weights, losses: Sequence[str]) -> Weights:
        """Return the diagonal of the empirical Fisher matrix on the CPU."""
        load_weights(self.criterion, weights, name="a candidate of a soup")
        information = diagonal_fisher(self._criterion_of(losses), self._samples())
        trained = [(name, each) for name, each in self.criterion.named_parameters() if each.requires_grad]
        unreached = {name: torch.zeros_like(each, dtype=torch.float64) for name, each in trained}
        return {name: each.cpu() for name, each in (unreached | information).items()}

    def _criterion_of(self, losses: Sequence[str]) -> nn.Module:
        parts = [part for part in self.spec.recipe.training.losses if part.use in losses]
        views = frozenset(view for part in parts for view in part.views)
        own = {use: self.criterion.losses[use] for use in losses}
        return Criterion(self.criterion.model, self.criterion.matcher, own, views)

    def _samples(self) -> Iterator[tuple[Batch, Target]]:
        labels = self.spec.recipe.training.targets.build()
        for index in self.select.trainable:
            batch, target = self.select.training_batch(
                [int(index)], labels=labels, augments=[], rng_of=visit_rngs(0, 0)
            )
            yield to_device(batch, self.device), to_device(target, self.device)


def diagonal_fisher(criterion: nn.Module, samples: Iterable[tuple[Batch, Target]]) -> dict[str, Tensor]:
    """Return the mean squared gradient of the total of a criterion for each trained tensor, in float64.

    The losses of moment retrieval are no likelihood, so this is the empirical kind: labels are the ground
    truth. The square is taken sample by sample; that of a mean gradient would be something else.

    Args:
        criterion: A module (batch, target) -> Losses; it is left in evaluation mode.
        samples: Batches of a single query.
    """
    criterion.eval()
    trained = {name: each for name, each in criterion.named_parameters() if each.requires_grad}
    sums = {name: torch.zeros_like(each, dtype=torch.float64) for name, each in trained.items()}
    count = 0
    for batch, target in samples:
        total = criterion(batch, target).total
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        for name, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient.double().square()
        count += 1
    return {name: each / max(1, count) for name, each in sums.items()}
