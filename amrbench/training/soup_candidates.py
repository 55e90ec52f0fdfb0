"""What a soup is given: the candidates, and a scorer of weights on the data of their stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.data.feature_dataset import DatasetCache, FeatureDataset, visit_rngs
from amrbench.data.worker_pool import Progress, Report, no_report
from amrbench.files.weights import StoredWeights, load_weights
from amrbench.slots.readout import Readout
from amrbench.slots.soups import Candidate, FisherData, SoupScorer, Weights
from amrbench.training.criterion import Criterion
from amrbench.training.predict import reported, to_device, validate
from amrbench.training.reading import fit_readouts
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import LAST, weights_file
from amrbench.types import Batch, Target


@dataclass(frozen=True)
class StoredCandidate(Candidate):
    """A finished stage as a candidate of a soup; its weights are read tensor by tensor."""

    spec: StageSpec
    store: Path

    @property
    @override
    def name(self) -> str:
        return self.spec.model_name

    @override
    def best(self) -> Weights:
        return StoredWeights(self.store / self.spec.key / weights_file(self.spec.recipe.selected_by))

    @override
    def last(self) -> Weights:
        return StoredWeights(self.store / self.spec.key / LAST)


class SelectionScorer(SoupScorer):
    """Scores weights of a stage on its selection split, and computes Fisher information of its data."""

    def __init__(
        self, spec: StageSpec, criterion: Criterion, datasets: DatasetCache, report: Report = no_report
    ) -> None:
        """Score with a criterion of the stage, whose weights are overwritten, and report the progress."""
        self.spec = spec
        self.criterion = criterion
        self.datasets = datasets
        self.report = report
        self.device = torch.device(spec.device)

    @cached_property
    def select(self) -> FeatureDataset:
        """Return the selection split; it is loaded only for a soup that asks about weights."""
        return self.datasets.load((self.spec.select,), self.spec.recipe.limits)

    @cached_property
    @override
    def fixed(self) -> frozenset[str]:
        return frozenset(self.criterion.state_dict().keys() - _first_names(self.criterion).keys())

    @override
    def performance(self, weights: Weights) -> float:
        load_weights(self.criterion, weights, name="a soup")
        recipe = self.spec.recipe
        select, what = recipe.training.select, f"{recipe.name}: validation of a soup"
        watch = reported(self.report, what, self.select)
        metrics = validate(
            self.criterion.model, self.select, self._readouts, device=self.device, select=select, watch=watch
        )
        return metrics[recipe.selected_by][select[0]]

    @cached_property
    def _readouts(self) -> dict[str, Readout]:
        """Return the read-out that chose the epochs of the candidates."""
        recipe = self.spec.recipe
        parts = [part for part in recipe.training.readouts if part.use == recipe.selected_by]
        return fit_readouts(parts, self._train.window_widths())

    @override
    def fisher(self, weights: Weights, losses: Sequence[str], data: FisherData) -> Weights:
        load_weights(self.criterion, weights, name="a candidate of a soup")
        parts = [part for part in self.spec.recipe.training.losses if part.use in losses]
        criterion = Criterion(
            self.criterion.model,
            self.criterion.matcher,
            losses={use: self.criterion.losses[use] for use in losses},
            views=frozenset(view for part in parts for view in part.views),
        )
        dataset = self.select if data == "select" else self._train
        information = diagonal_fisher(criterion, self._samples(dataset))
        # Parameters of the other losses are not in this criterion.
        trained = _trained(self.criterion)
        unreached = {name: weight for name, weight in trained.items() if name not in information}
        information |= _zeros_like(unreached)
        names = _first_names(self.criterion).items()
        return {name: information[first].to("cpu", copy=name != first) for name, first in names}

    @cached_property
    def _train(self) -> FeatureDataset:
        return self.datasets.load(self.spec.train, self.spec.recipe.limits)

    def _samples(self, dataset: FeatureDataset) -> Iterator[tuple[Batch, Target]]:
        """Yield the trainable queries one by one, as they are: augmentations take no part."""
        labels = self.spec.recipe.training.targets.build()
        what, total = f"{self.spec.recipe.name}: Fisher information", len(dataset.trainable)
        for done, index in enumerate(dataset.trainable, 1):
            batch, target = dataset.training_batch(
                [int(index)], labels=labels, augments=[], rng_of=visit_rngs(0, 0)
            )
            self.report(Progress(what, done, total))
            yield to_device(batch, self.device), to_device(target, self.device)


def diagonal_fisher(criterion: nn.Module, samples: Iterable[tuple[Batch, Target]]) -> dict[str, Tensor]:
    """Return the diagonal of the empirical Fisher matrix, for each trained tensor, in float64.

    It is the mean over samples of the squared gradient of the total loss. The losses of moment retrieval are
    no likelihood, so labels are the ground truth and not drawn from the model (the empirical Fisher matrix).
    Samples are single queries, because the square of a mean gradient is another quantity.

    Args:
        criterion: A module (batch, target) -> Losses; it is left in evaluation mode.
        samples: Batches of a single query.
    """
    criterion.eval()
    trained = _trained(criterion)
    sums = _zeros_like(trained)
    count = 0
    for batch, target in samples:
        total = criterion(batch, target).total
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        for name, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient.double().square()
        count += 1
    return {name: total.div_(max(1, count)) for name, total in sums.items()}


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def _first_names(module: nn.Module) -> dict[str, str]:
    """Return the name that stands in `_trained` for each name of a trained tensor: tied ones have several."""
    first = {weight: name for name, weight in _trained(module).items()}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[weight] for name, weight in every if weight in first}


def _zeros_like(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
