"""Several soups of the same seeds, for a comparison that trains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from amrbench.errors import RecipeError
from amrbench.part import problem
from amrbench.slots import SoupPart
from amrbench.soup import Candidate, Judge, Mixture, Soup


def _different(soups: tuple[SoupPart, ...]) -> tuple[SoupPart, ...]:
    for soup in soups:
        if soups.count(soup) > 1:
            raise problem(f"{soup.use!r} stands twice in this list with the same options; keep one.")
    return soups


class Several(SoupPart):
    """The members of several soups, one after another."""

    use = "several"
    example: ClassVar[Mapping[str, Any]] = {"of": ["best", "uniform", "greedy"]}
    of: Annotated[tuple[SoupPart, ...], AfterValidator(_different)] = Field(
        min_length=1, description="the soups"
    )

    @property
    def losses_read(self) -> frozenset[str]:
        """Return what its soups ask about."""
        return frozenset[str]().union(*(soup.losses_read for soup in self.of))

    def build(self) -> Soup:
        """Return a soup with the members of all."""
        return self._cook

    def _cook(self, candidates: Sequence[Candidate], judge: Judge) -> Mapping[str, Mixture]:
        members: dict[str, Mixture] = {}
        for part in self.of:
            for name, mixture in part.build()(candidates, judge).items():
                if name in members:
                    raise RecipeError(f"soup: two of this list give a member {name!r}; keep one.")
                members[name] = mixture
        return members
