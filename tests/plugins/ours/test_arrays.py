"""Shipped recipes as arrays of models: the weights after some steps, against those of each model alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.config.load import load_recipe, shipped
from amrbench.config.recipe import Budget, Recipe
from amrbench.discovery import load_registry
from amrbench.slots.optimizers import Updater
from amrbench.testing import WIDTHS, make_batch, make_target
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.model_array import CriterionArray, stack
from amrbench.types import Batch, BuildContext, Losses, Target, TrainingLength
from amrbench_plugins.moment_detr import layers

REGISTRY = load_registry()
SMALL = Budget(width=16, feedforward=24, layers=2, dummies=3)
MODELS, EPOCHS, STEPS = 3, 2, 3


def recipe(name: str, **optimizer: Any) -> Recipe:
    """A shipped recipe, small and without dropout; `optimizer` replaces options of its optimizer."""

    def without_dropout(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: without_dropout(own) for key, own in value.items()}
            return kept | {"dropout": 0.0} if "dropout" in kept else kept
        return [without_dropout(own) for own in value] if isinstance(value, list) else value

    content = without_dropout(SMALL.of(load_recipe(name, REGISTRY)).model_dump(mode="json"))
    content["training"]["optimizer"] |= optimizer
    return Recipe.model_validate(content, context=REGISTRY)


def criterion_of(recipe: Recipe, seed: int) -> Criterion:
    widths = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
    return build_criterion(recipe, BuildContext(WIDTHS, seed=seed, window_widths=widths)).double()


def data(seed: int, step: int) -> tuple[Batch, Target]:
    """A batch whose sizes depend on the seed, in double precision."""
    batch = make_batch(frames=(14 - seed, 9, 12, 11), words=(5 - seed, 3, 1, 2))
    noise = torch.randn(batch.audio.shape, generator=torch.Generator().manual_seed(10 * seed + step))
    audio = (batch.audio + noise * batch.audio_mask[..., None]).double()
    return Batch(audio, batch.audio_mask, batch.text.double(), batch.text_mask, batch.recording), make_target(
        batch
    )


def train(updater: Updater, losses: Callable[[int], Losses]) -> None:
    for step in range(EPOCHS * STEPS):
        updater.step(lambda step=step: losses(step))
        if step % STEPS == STEPS - 1:
            updater.end_epoch()


def scored(module: torch.nn.Module, updater: Updater) -> dict[str, Tensor]:
    with updater.eval_weights():
        return {name: weight.detach().clone() for name, weight in module.named_parameters()}


RECIPES = {
    "AdamW, clipped": recipe("cgdetr"),
    "an average over epochs around periodic ASAM": recipe("ours3"),
    "an average over steps": recipe("ours3", every="step", start=0.0),
    "without a matcher": recipe("frames"),
    "the additional parts": recipe("beyond"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_steps_of_an_array_are_the_steps_of_each_model_alone(name):
    recipe = RECIPES[name]
    build, clip = recipe.training.optimizer.build, recipe.training.clip
    assert clip
    array = CriterionArray([criterion_of(recipe, seed) for seed in range(MODELS)]).train()
    batches = [
        tuple(map(stack, zip(*(data(seed, step) for seed in range(MODELS)), strict=True)))
        for step in range(EPOCHS * STEPS)
    ]
    updater = build(array, TrainingLength(EPOCHS, STEPS, clip, array=True))
    train(updater, lambda step: array(*batches[step], step))
    together = scored(array, updater)
    for seed in range(MODELS):
        alone = criterion_of(recipe, seed).train()
        start = {name: weight.detach().clone() for name, weight in alone.named_parameters()}
        updater = build(alone, TrainingLength(EPOCHS, STEPS, clip))
        train(updater, lambda step, alone=alone, seed=seed: alone(*data(seed, step), step))
        weights = scored(alone, updater)
        # Some losses are computed in single precision.
        assert_close({key: own[seed] for key, own in together.items()}, weights, rtol=0, atol=2e-8)
        assert max(float((weights[key] - start[key]).abs().max()) for key in start) > 1e-5


SHIPPED = {
    str([small.model, small.training.losses, small.training.matcher]): small
    for small in (SMALL.of(load_recipe(path, REGISTRY)) for path in shipped("recipe"))
}
"""Recipes that differ in what runs inside of `torch.vmap`."""


@pytest.mark.parametrize("small", SHIPPED.values(), ids=lambda small: small.name)
@pytest.mark.parametrize("frames", [14, layers.LONG + 3])
def test_shipped_recipes_can_be_trained_at_once(small, frames):
    """Alone, long sequences are computed in blocks."""
    own = make_batch(frames=(frames, 9, frames, 11))
    batch, target = stack([own, own]), stack([make_target(own), make_target(own)])
    array = CriterionArray([criterion_of(small, seed).float() for seed in range(2)])
    assert array.fault(batch, target) == ""
    total = array.train()(batch, target).total
    total.sum().backward()
    assert total.isfinite().all()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in array.parameters())
