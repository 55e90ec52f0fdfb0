"""Several soups of the same seeds, to compare them without further training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import AfterValidator, Field
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import refuse_repeated
from amrbench.slots.soups import Candidate, Soup, SoupPart, SoupResult, SoupScorer


def _distinct(soups: tuple[SoupPart, ...]) -> tuple[SoupPart, ...]:
    refuse_repeated([soup.use + _in_brackets(changed_options(soup)) for soup in soups])
    return soups


class Several(SoupPart):
    """The models of several soups, one after another.

    If two of them have the same name, the options in which they differ are appended to it, e.g.
    "fisher soup (norm: false)".
    """

    use = "several"
    example: ClassVar[Mapping[str, Any]] = {"of": ["best", "uniform", "greedy"]}
    of: Annotated[tuple[SoupPart, ...], AfterValidator(_distinct)] = Field(
        min_length=1, description="the soups"
    )

    @property
    @override
    def losses_read(self) -> frozenset[str]:
        return frozenset[str]().union(*(soup.losses_read for soup in self.of))

    @override
    def build(self) -> Soup:
        return self._make

    def _make(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        results = [(part, part.build()(candidates, scorer)) for part in self.of]
        models: dict[str, SoupResult] = {}
        for part, own in results:
            for name, model in own.items():
                full_name = name + name_suffix(part, [other for other, made in results if name in made])
                if full_name in models:
                    raise RecipeError(f"soup: two soups of the list make a model {full_name!r}; keep one.")
                models[full_name] = model
        return models


def name_suffix(part: SoupPart, same_name: Sequence[SoupPart]) -> str:
    """Return what distinguishes the model of a soup from those of soups with the same name, or "".

    These are the options that differ from their defaults and from those of another soup.
    """
    others = [changed_options(other) for other in same_name if other is not part]
    own = {
        name: value
        for name, value in changed_options(part).items()
        if any(name not in other or other[name] != value for other in others)
    }
    return _in_brackets(own)


def changed_options(part: SoupPart) -> dict[str, Any]:
    """Return the options that differ from their defaults, as JSON values."""
    fields, values = type(part).model_fields, part.model_dump(mode="json")
    return {
        name: values[name]
        for name, field in fields.items()
        if getattr(part, name) != field.get_default(call_default_factory=True)
    }


def _in_brackets(options: Mapping[str, Any]) -> str:
    """Return options as in a recipe, on one line, e.g. " (norm: false)"; empty if there are none."""
    flow = yaml.safe_dump(dict(options), default_flow_style=True, sort_keys=False, width=math.inf)
    return f" ({str(flow).strip()[1:-1]})" if options else ""
