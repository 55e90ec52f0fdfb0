"""Steps of several models at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from amrbench.config.recipe import Recipe
from amrbench.training.criterion import Criterion
from amrbench.training.model_array import CriterionArray, stack
from amrbench.types import Batch, Losses, Target
from benchmarks.ours import updater_of


def step_of_array(
    recipe: Recipe, criteria: Sequence[Criterion], batch: Batch, target: Target
) -> Callable[[], Losses]:
    """Return one step of all models, each on the same batch."""
    array = CriterionArray(criteria)
    losses = partial(array, stack([batch] * len(criteria)), stack([target] * len(criteria)))
    return partial(updater_of(recipe, array).step, losses)
