"""Greedy soup: named in the report, section 3.5, as the common practice that it does not follow.

The public code of model soups (Wortsman et al. 2022) takes an ingredient only if the soup gets strictly
better; so does the default. The selection split is the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from amrbench.slots import SoupPart
from amrbench.soup import Candidate, Judge, Mixture, Soup, Weights
from amrbench_plugins.soups.mixing import Ingredient, Pot, ingredient, named, weights_of


class Greedy(SoupPart):
    """The best seed, and each further one, best first, with which the mean does better."""

    use = "greedy"
    ingredient: Ingredient = ingredient()
    ties: bool = Field(False, description="also take an ingredient that changes nothing")

    def build(self) -> Soup:
        """Return a soup with one member, "greedy soup"."""
        return self._cook

    def _cook(self, candidates: Sequence[Candidate], judge: Judge) -> Mapping[str, Mixture]:
        heights = [judge.performance(weights_of(each, self.ingredient)) for each in candidates]
        first, *others = best_first(heights)
        taken, height = [candidates[first]], heights[first]
        for place in others:
            tried = [*taken, candidates[place]]
            performance = judge.performance(self._mean(tried, judge))
            if performance > height or (self.ties and performance == height):
                taken, height = tried, performance
        about = {"soup": self.use, "epoch": self.ingredient}
        names = [each.name for each in taken]
        note = f"{len(names)} of {len(candidates)} seeds are in it"
        mixture = Mixture(self._mean(taken, judge), names, note=note, about=about)
        return {named("greedy", self.ingredient): mixture}

    def _mean(self, candidates: Sequence[Candidate], judge: Judge) -> Weights:
        pot = Pot(judge.fixed)
        for candidate in candidates:
            pot.add(candidate.name, weights_of(candidate, self.ingredient))
        return pot.mean()


def best_first(heights: Sequence[float]) -> list[int]:
    """Return the places from the highest to the lowest; of equal ones the first comes first."""
    return sorted(range(len(heights)), key=lambda place: -heights[place])
