"""Reference rows beside soups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer
from amrbench_plugins.soups.greedy import best_first


class Best(SoupPart):
    """The seed that does best on the selection split, which is no soup but what soups are measured by."""

    use = "best"

    def build(self) -> Soup:
        """Return a soup with one member, "best single"."""
        return best_single


class Last(SoupPart):
    """Each seed at its last epoch, which is what the choice of an epoch is measured by."""

    use = "last"

    def build(self) -> Soup:
        """Return a soup with a member for each seed, e.g. "seed 0, last epoch"."""
        return last_epochs


def best_single(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return the weights of the best seed as they are."""
    found = candidates[best_first([scorer.performance(each.best()) for each in candidates])[0]]
    about = {"soup": Best.use, "epoch": "best"}
    note = f"it is {found.name}"
    return {"best single": SoupResult(found.best(), [found.name], kind="single", note=note, about=about)}


def last_epochs(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return the weights of each seed at its last epoch."""
    about = {"soup": Last.use, "epoch": "last"}
    return {
        f"{each.name}, last epoch": SoupResult(each.last(), [each.name], kind="single", about=about)
        for each in candidates
    }
