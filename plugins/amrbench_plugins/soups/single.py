"""Single models that soups are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, SoupResult, SoupScorer
from amrbench_plugins.soups.greedy import best_first


def best_single(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return {"best single": the unchanged weights of the best seed}."""
    best = candidates[best_first([scorer.performance(candidate.best()) for candidate in candidates])[0]]
    about = {"soup": "best", "epoch": "best"}
    note = f"it is {best.name}"
    return {"best single": SoupResult(best.best(), [best.name], kind="single", note=note, about=about)}


def last_epochs(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return the weights of each seed at its last epoch, e.g. as "seed 0, last epoch"."""
    about = {"soup": "last", "epoch": "last"}
    return {
        f"{candidate.name}, last epoch": SoupResult(
            candidate.last(), [candidate.name], kind="single", about=about
        )
        for candidate in candidates
    }
