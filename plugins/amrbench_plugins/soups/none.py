"""No soup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer


class NoSoup(SoupPart):
    """Leave the fine-tuned weights of each seed as they are."""

    use = "none"

    @override
    def build(self) -> Soup:
        return no_soup


def no_soup(candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
    """Return no further model."""
    return {}
