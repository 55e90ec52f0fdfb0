"""Greedy soup: named in the report, section 3.5, as the common practice that it does not follow.

As in the public code of model soups (Wortsman et al. 2022), an ingredient is taken only if the soup gets
strictly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, SoupResult, SoupScorer
from amrbench_plugins.soups.weighted_mean import Epoch, mean_of, named, weights_of


def greedy_soup(
    candidates: Sequence[Candidate], scorer: SoupScorer, *, epoch: Epoch
) -> Mapping[str, SoupResult]:
    """Return the mean of the best candidate and of those that improve it, tried best first."""
    scores = [scorer.performance(weights_of(candidate, epoch)) for candidate in candidates]
    first, *others = best_first(scores)
    taken, best = [candidates[first]], scores[first]
    for index in others:
        larger = [*taken, candidates[index]]
        performance = scorer.performance(mean_of(larger, epoch, scorer.fixed))
        if performance > best:
            taken, best = larger, performance
    mean = mean_of(taken, epoch, scorer.fixed)
    names = [candidate.name for candidate in taken]
    note = f"{len(names)} of {len(candidates)} seeds are in it"
    about = {"soup": "greedy", "epoch": epoch}
    return {named("greedy", epoch): SoupResult(mean, names, note=note, about=about)}


def best_first(scores: Sequence[float]) -> list[int]:
    """Return the indices from the highest score to the lowest; equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])
