"""Several soups of the same seeds, for a comparison that trains nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import AfterValidator, Field

from amrbench.errors import RecipeError
from amrbench.part import problem
from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer


def _different(soups: tuple[SoupPart, ...]) -> tuple[SoupPart, ...]:
    for soup in soups:
        if soups.count(soup) > 1:
            raise problem(f"{soup.use!r} stands twice in this list with the same options; keep one.")
    return soups


class Several(SoupPart):
    """The members of several soups, one after another.

    Where two of them give a member of one name, the options that they are told apart by stand behind it, e.g.
    "fisher soup (norm: false)"; without such options a name stays.
    """

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
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        made = [(part, part.build()(candidates, scorer)) for part in self.of]
        members: dict[str, SoupResult] = {}
        for part, found in made:
            for name, mixture in found.items():
                full = name + told_apart(part, [other for other, given in made if name in given])
                if full in members:
                    raise RecipeError(f"soup: two of this list give a member {full!r}; keep one.")
                members[full] = mixture
        return members


def told_apart(part: SoupPart, group: Sequence[SoupPart]) -> str:
    """Return what stands behind the name that soups of a group share, empty if nothing need.

    These are the options of the part that differ from their defaults and that not all of the group have.
    """
    others = [changed(each) for each in group if each is not part]
    own = {
        name: value
        for name, value in changed(part).items()
        if any(name not in other or other[name] != value for other in others)
    }
    return f" ({_written(own)})" if own else ""


def changed(part: SoupPart) -> dict[str, Any]:
    """Return the options that differ from their defaults, as they are written down."""
    fields, written = type(part).model_fields, part.model_dump(mode="json")
    return {
        name: written[name]
        for name, field in fields.items()
        if getattr(part, name) != field.get_default(call_default_factory=True)
    }


def _written(options: Mapping[str, Any]) -> str:
    """Return options as in a recipe, on one line."""
    flow = yaml.safe_dump(dict(options), default_flow_style=True, sort_keys=False, width=math.inf)
    return str(flow).strip()[1:-1]
