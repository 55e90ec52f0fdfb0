"""Greedy soup: named in the report, section 3.5, as the common practice that it does not follow.

The public code of model soups (Wortsman et al. 2022) takes an ingredient only if the soup gets strictly
better; so does the default. The selection split is the scorer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer, Weights
from amrbench_plugins.soups.mixing import Ingredient, WeightedMean, ingredient, named, weights_of


class Greedy(SoupPart):
    """The best seed, and each further one, best first, with which the mean does better."""

    use = "greedy"
    ingredient: Ingredient = ingredient()
    ties: bool = Field(False, description="also take an ingredient that changes nothing")

    def build(self) -> Soup:
        """Return a soup with one member, "greedy soup"."""
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        scores = [scorer.performance(weights_of(each, self.ingredient)) for each in candidates]
        first, *others = best_first(scores)
        taken, best = [candidates[first]], scores[first]
        for place in others:
            tried = [*taken, candidates[place]]
            performance = scorer.performance(self._mean(tried, scorer))
            if performance > best or (self.ties and performance == best):
                taken, best = tried, performance
        about = {"soup": self.use, "epoch": self.ingredient}
        names = [each.name for each in taken]
        note = f"{len(names)} of {len(candidates)} seeds are in it"
        mixture = SoupResult(self._mean(taken, scorer), names, note=note, about=about)
        return {named("greedy", self.ingredient): mixture}

    def _mean(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Weights:
        mean = WeightedMean(scorer.fixed)
        for candidate in candidates:
            mean.add(candidate.name, weights_of(candidate, self.ingredient))
        return mean.mean()


def best_first(scores: Sequence[float]) -> list[int]:
    """Return the places from the highest to the lowest; of equal ones the first comes first."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])
