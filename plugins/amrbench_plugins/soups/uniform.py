"""Uniform soup: report, section 3.5.

The report averages all fine-tuned models without a selection, to depend less on the development data. It does
not say which epoch of each goes in; the team's public code keeps the best on the selection split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer
from amrbench_plugins.soups.weighted_mean import Ingredient, ingredient, mean_of, named


class Uniform(SoupPart):
    """The plain mean of the weights of all seeds (Wortsman et al. 2022)."""

    use = "uniform"
    ingredient: Ingredient = ingredient()

    @override
    def build(self) -> Soup:
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        mean = mean_of(candidates, self.ingredient, scorer.fixed)
        names = [candidate.name for candidate in candidates]
        about = {"soup": self.use, "epoch": self.ingredient}
        return {named("uniform", self.ingredient): SoupResult(mean, names, about=about)}
