"""No soup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.slots import SoupPart
from amrbench.soup import Candidate, Judge, Mixture, Soup


class NoSoup(SoupPart):
    """Leave the fine-tuned weights of each seed as they are."""

    use = "none"

    def build(self) -> Soup:
        """Return a soup that adds no member to a run."""
        return nothing_cooked


def nothing_cooked(candidates: Sequence[Candidate], judge: Judge) -> Mapping[str, Mixture]:
    """Return no further member."""
    return {}
