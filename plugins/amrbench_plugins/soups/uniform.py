"""Uniform soup: report, section 3.5.

The report averages all fine-tuned models without a selection, to depend less on the development data. It does
not say which epoch of each goes in; the team's public code keeps the best on the selection split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, SoupResult, SoupScorer
from amrbench_plugins.soups.weighted_mean import Epoch, mean_of, named


def uniform_soup(
    candidates: Sequence[Candidate], scorer: SoupScorer, *, epoch: Epoch
) -> Mapping[str, SoupResult]:
    """Return the mean of all candidates."""
    mean = mean_of(candidates, epoch, scorer.fixed)
    names = [candidate.name for candidate in candidates]
    return {named("uniform", epoch): SoupResult(mean, names, about={"soup": "uniform", "epoch": epoch})}
