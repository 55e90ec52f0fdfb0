"""Fisher-weighted soup: report, section 3.5.

The report weighs each number of each model by its Fisher information on data that was not trained on, and
cites no code; formula, division by the norm and the floor of 1e-6 follow the public code of Matena and Raffel
(2022). Our choices: the selection split is that data; the losses of spans, class and IoU stand in for the
likelihood, which they are not; and the floor is relative to the mean, for squared gradients lie far below
1e-6, where an absolute floor makes the soup uniform without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field

from amrbench.errors import RunError
from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer, Weights
from amrbench_plugins.soups.mixing import Ingredient, WeightedMean, ingredient, named, weights_of


@dataclass(frozen=True)
class Importance:
    """What each number of a candidate counts."""

    weights: Weights
    floored: float
    """Share of numbers that count only by the floor."""


class Fisher(SoupPart):
    """The mean of all seeds, each number weighted by its Fisher information (Matena and Raffel 2022).

    Each seed's information is divided by its norm, so that none outweighs the others as a whole.
    """

    use = "fisher"
    ingredient: Ingredient = ingredient()
    losses: tuple[str, ...] = Field(
        ("span-l1", "span-giou", "varifocal", "iou-l1"),
        min_length=1,
        description="losses of the recipe whose gradients count",
    )
    floor: float = Field(1e-6, gt=0, description="least information of a number")
    floor_of: Literal["mean", "one"] = Field("mean", description="what the floor is a multiple of")
    norm: bool = Field(True, description="divide the information of each seed by its norm")

    @property
    def losses_read(self) -> frozenset[str]:
        """Return the losses whose gradients count."""
        return frozenset(self.losses)

    def build(self) -> Soup:
        """Return a soup with one member, "fisher soup"."""
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        mean, floored = WeightedMean(scorer.fixed), {}
        for candidate in candidates:
            weights = weights_of(candidate, self.ingredient)
            found = self.importance(scorer.fisher(weights, self.losses), candidate.name)
            mean.add(candidate.name, weights, found.weights)
            floored[candidate.name] = round(found.floored, 6)
        about = {"soup": self.use, "epoch": self.ingredient, "floored": floored}
        share = sum(floored.values()) / len(floored)
        note = f"{share:.1%} of the numbers count by the floor alone"
        result = SoupResult(mean.mean(), mean.names, note=note, about=about)
        return {named("fisher", self.ingredient): result}

    def importance(self, information: Weights, name: str) -> Importance:
        """Return what each number counts.

        Raises:
            RunError: All information is zero, or some of it is not finite.
        """
        every = torch.cat([each.double().flatten() for each in information.values()])
        norm = every.norm()
        if not 0 < norm < torch.inf:
            raise RunError(
                f"a soup cannot be made: the Fisher information of {name} is {norm.item():g} in all, so it "
                f"weighs nothing. Check the losses that it is taken of: {', '.join(self.losses)}."
            )
        floor = self.floor * (every.mean() if self.floor_of == "mean" else 1.0)
        divisor = norm if self.norm else torch.ones_like(norm)
        return Importance(
            {each: value.double().clamp(min=floor) / divisor for each, value in information.items()},
            (every < floor).double().mean().item(),
        )
