"""No soup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer


class NoSoup(SoupPart):
    """Leave the fine-tuned weights of each seed as they are."""

    use = "none"

    def build(self) -> Soup:
        """Return a soup that adds no member to a run."""
        return nothing_makeed


def nothing_makeed(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return no further member."""
    return {}
