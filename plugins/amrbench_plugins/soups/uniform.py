"""Uniform soup: report, section 3.5.

The report averages all fine-tuned models and chooses none, so as to depend less on the development data.
Which epoch of each goes in is not said; the team's public code keeps the best on the selection split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer
from amrbench_plugins.soups.mixing import Ingredient, WeightedMean, ingredient, named, weights_of


class Uniform(SoupPart):
    """The plain mean of the weights of all seeds (Wortsman et al. 2022)."""

    use = "uniform"
    ingredient: Ingredient = ingredient()

    def build(self) -> Soup:
        """Return a soup with one member, "uniform soup"."""
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        mean = WeightedMean(scorer.fixed)
        for candidate in candidates:
            mean.add(candidate.name, weights_of(candidate, self.ingredient))
        about = {"soup": self.use, "epoch": self.ingredient}
        return {named("uniform", self.ingredient): SoupResult(mean.mean(), mean.names, about=about)}
