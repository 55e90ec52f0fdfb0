"""Greedy soup: named in the report, section 3.5, as the common practice that it does not follow.

The public code of model soups (Wortsman et al. 2022) takes an ingredient only if the soup gets strictly
better; so does the default. The soup is scored on the selection split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field
from typing_extensions import override

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer
from amrbench_plugins.soups.weighted_mean import Ingredient, ingredient, mean_of, named, weights_of


class Greedy(SoupPart):
    """The best seed, and each further seed, best first, that improves the mean."""

    use = "greedy"
    ingredient: Ingredient = ingredient()
    ties: bool = Field(False, description="also take an ingredient that changes no score")

    @override
    def build(self) -> Soup:
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        scores = [scorer.performance(weights_of(candidate, self.ingredient)) for candidate in candidates]
        first, *others = best_first(scores)
        taken, best = [candidates[first]], scores[first]
        for index in others:
            larger = [*taken, candidates[index]]
            performance = scorer.performance(mean_of(larger, self.ingredient, scorer.fixed))
            if performance > best or (self.ties and performance == best):
                taken, best = larger, performance
        mean = mean_of(taken, self.ingredient, scorer.fixed)
        names = [candidate.name for candidate in taken]
        note = f"{len(names)} of {len(candidates)} seeds are in it"
        about = {"soup": self.use, "epoch": self.ingredient}
        return {named("greedy", self.ingredient): SoupResult(mean, names, note=note, about=about)}


def best_first(scores: Sequence[float]) -> list[int]:
    """Return the indices from the highest score to the lowest; equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])
