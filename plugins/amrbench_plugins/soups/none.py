"""No soup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from amrbench.slots import Soup, SoupPart, Weights


class NoSoup(SoupPart):
    """Leave the fine-tuned weights of each seed as they are."""

    use = "none"

    def build(self) -> Soup:
        """Return a soup that adds no member to a run."""
        return nothing_cooked


def nothing_cooked(
    candidates: Sequence[Weights],
    score: Callable[[Weights], float],
) -> Mapping[str, Weights]:
    """Return no further member."""
    return {}
