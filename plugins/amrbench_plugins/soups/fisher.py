"""Fisher-weighted soup: report, section 3.5.

The report weights each number of each model by its Fisher information on data that was not trained on, and
cites no code. The formula, the division by the norm and the floor of 1e-6 follow the public code of Matena
and Raffel (2022). Our choices: that data is the selection split; the losses of spans, class and IoU replace
the likelihood, which this model lacks; and the floor is relative to the mean, because squared gradients are
far below 1e-6, so that an absolute floor would silently make the soup uniform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from typing_extensions import override

from amrbench.errors import RunError
from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer, Weights
from amrbench_plugins.soups.weighted_mean import Ingredient, WeightedMean, ingredient, named, weights_of


@dataclass(frozen=True)
class Importance:
    """The importance of each number of a candidate."""

    weights: Weights
    floored: float
    """Fraction of numbers whose information is below the floor."""


class Fisher(SoupPart):
    """The mean of all seeds, each number weighted by its Fisher information (Matena and Raffel 2022).

    The information of each seed is divided by its norm, so that no seed outweighs the others as a whole.
    """

    use = "fisher"
    ingredient: Ingredient = ingredient()
    losses: tuple[str, ...] = Field(
        ("span-l1", "span-giou", "varifocal", "iou-l1"),
        min_length=1,
        description="losses of the recipe whose gradients are used",
    )
    floor: float = Field(1e-6, gt=0, description="least information of a number")
    floor_of: Literal["mean", "one"] = Field("mean", description="what the floor is a multiple of")
    norm: bool = Field(True, description="divide the information of each seed by its norm")

    @property
    @override
    def losses_read(self) -> frozenset[str]:
        return frozenset(self.losses)

    @override
    def build(self) -> Soup:
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        mean, floored = WeightedMean(scorer.fixed), {}
        for candidate in candidates:
            weights = weights_of(candidate, self.ingredient)
            importance = self.importance(scorer.fisher(weights, self.losses), candidate.name)
            mean.add(candidate.name, weights, importance.weights)
            floored[candidate.name] = round(importance.floored, 6)
        about = {"soup": self.use, "epoch": self.ingredient, "floored": floored}
        fraction = sum(floored.values()) / len(floored)
        note = f"{fraction:.1%} of the numbers count by the floor alone"
        result = SoupResult(mean.mean(), mean.names, note=note, about=about)
        return {named("fisher", self.ingredient): result}

    def importance(self, information: Weights, name: str) -> Importance:
        """Return the importance of each number from the information of a candidate.

        Raises:
            RunError: All information is zero, or some of it is not finite.
        """
        numbers = torch.cat([tensor.double().flatten() for tensor in information.values()])
        norm = numbers.norm()
        if not 0 < norm < torch.inf:
            raise RunError(
                f"a soup cannot be made: the norm of the Fisher information of {name} is {norm.item():g}, so "
                f"it cannot weight a mean. Check the losses that it is computed of: {', '.join(self.losses)}."
            )
        floor = self.floor * (numbers.mean() if self.floor_of == "mean" else 1.0)
        divisor = norm if self.norm else torch.ones_like(norm)
        return Importance(
            {key: tensor.double().clamp(min=floor) / divisor for key, tensor in information.items()},
            (numbers < floor).double().mean().item(),
        )
