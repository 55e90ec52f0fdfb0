"""Several soups of the same seeds, to compare them without further training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from amrbench.errors import RecipeError
from amrbench.slots.soups import Candidate, Soup, SoupResult, SoupScorer

Options = Mapping[str, Any]


def several_soups(
    candidates: Sequence[Candidate], scorer: SoupScorer, *, soups: Sequence[tuple[Soup, Options]]
) -> Mapping[str, SoupResult]:
    """Return the models of all soups.

    Each soup comes with its options that are not defaults; where several soups make a model of one name,
    those that distinguish it are appended.
    """
    results = [(options, soup(candidates, scorer)) for soup, options in soups]
    models: dict[str, SoupResult] = {}
    for options, own in results:
        for name, model in own.items():
            others = [other for other, made in results if name in made and other is not options]
            full_name = name + in_brackets(distinguishing(options, others))
            if full_name in models:
                raise RecipeError(f"soup: two soups of the list make a model {full_name!r}; keep one.")
            models[full_name] = model
    return models


def distinguishing(options: Options, others: Sequence[Options]) -> Options:
    """Return the options that at least one of the others lacks or has with another value."""
    return {
        name: value
        for name, value in options.items()
        if any(name not in other or other[name] != value for other in others)
    }


def in_brackets(options: Options) -> str:
    """Return options as in a recipe, on one line, e.g. " (floor: 0.001)"; empty if there are none."""
    flow = yaml.safe_dump(dict(options), default_flow_style=True, sort_keys=False, width=math.inf)
    return f" ({str(flow).strip()[1:-1]})" if options else ""
