"""Our CG-DETR of full size, to be timed: see `implementations.Implementation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from amrbench.config.load import find, load_recipe
from amrbench.config.recipe import Recipe
from amrbench.discovery import load_registry
from amrbench.evaluation.score_files import score_files
from amrbench.slots.optimizers import Updater
from amrbench.training.criterion import Criterion, build_criterion, tensors_of
from amrbench.training.model_array import CriterionArray
from amrbench.types import BuildContext, FeatureWidths, Losses, TrainingLength
from amrbench_plugins.cgdetr.reference_weights import Reference, reference_names
from benchmarks.problems import WIDTH, Problem

STEPS_PER_EPOCH = 1_000

Weights = Mapping[str, Tensor]


@cache
def shipped_recipe(name: str = "cgdetr") -> Recipe:
    """Return a shipped recipe, at full size."""
    return load_recipe(find("recipe", name), load_registry())


def criterion_of(recipe: Recipe, seed: int = 0) -> Criterion:
    """Build model, matcher and losses of a recipe, in training."""
    widths, dropout = FeatureWidths(WIDTH, WIDTH), recipe.stages[-1].input_dropout
    context = BuildContext(widths, seed, dropout, window_widths=(0.1, 0.2, 0.3))
    return build_criterion(recipe, context).train()


def step_of(recipe: Recipe, criterion: Criterion, problem: Problem) -> Callable[[], Losses]:
    """Return a function that takes one step of the recipe's optimizer."""
    losses = partial(criterion, problem.batch, problem.target)
    return partial(updater_of(recipe, criterion).step, losses)


def updater_of(recipe: Recipe, criterion: Criterion) -> Updater:
    """Build the optimizer of a recipe, as for a stage of one long epoch of a model or of an array of them."""
    array, clip = isinstance(criterion, CriterionArray), recipe.training.clip
    length = TrainingLength(epochs=1, steps_per_epoch=STEPS_PER_EPOCH, clip=clip, array=array)
    return recipe.training.optimizer.build(criterion, length)


def with_weights(weights: Weights) -> Criterion:
    """Return the baseline with weights of the reference."""
    criterion = criterion_of(shipped_recipe())
    reference = Reference(criterion.model, criterion.losses["moment-sentence"])
    for name, parameter in reference.named_parameters().items():
        blocks = [weights[source].flatten() for source in reference_names(name)]
        parameter.detach().copy_(torch.cat(blocks).view_as(parameter))
    return criterion


def training_step(problem: Problem, weights: Weights) -> Callable[[], Losses]:
    return step_of(shipped_recipe(), with_weights(weights), problem)


def loss(problem: Problem, weights: Weights) -> float:
    with torch.no_grad():
        return float(with_weights(weights).eval()(problem.batch, problem.target).total)


def prediction(problem: Problem, weights: Weights) -> Callable[[], Tensor]:
    model, batch = with_weights(weights).model.eval(), problem.batch
    return torch.no_grad()(lambda: tensors_of(model, model.encode(batch))["spans"][-1])


def evaluate(predictions: Path, truth: Path) -> Mapping[str, float]:
    return score_files(predictions, truth).scores.metrics
