"""Every number of recipes and protocols has a least and a largest value; a recipe with it can be tried."""

from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from amrbench.config.load import load_protocol, load_recipe
from amrbench.config.recipe import Budget, Recipe
from amrbench.data.required_splits import RequiredSplits
from amrbench.discovery import load_registry
from amrbench.errors import AmrbenchError
from amrbench.part import Part, parts_with_paths
from amrbench.testing import sample
from amrbench.tools.json_schema import schema
from amrbench.training.noise_step import step_on_noise

REGISTRY = load_registry()
LOW, HIGH = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
SMALL = Budget(width=8, feedforward=8, layers=1, dummies=2)
PROTOCOL = load_protocol("synthetic", REGISTRY).model_copy(update={"budget": Budget()})
NAMES = ("ours1", "cgdetr", "sliding-window", "frames", "beyond")
RECIPES = [SMALL.of(load_recipe(name, REGISTRY)) for name in NAMES]
ELSEWHERE = {"checkpoint", "dataset", "features"}
"""Slots whose parts are not tried here: none is built from a recipe's numbers."""
PARTS = [
    REGISTRY.entry(slot, use).part
    for slot in REGISTRY.slots()
    for use in REGISTRY.names(slot)
    if slot not in ELSEWHERE
]


def numbers_in(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every number of a JSON Schema with its path."""
    if isinstance(node, dict):
        if node.get("type") in ("integer", "number") and not {"const", "enum"} & node.keys():
            yield ".".join(path), node
        for key, value in node.items():
            yield from numbers_in(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from numbers_in(value, (*path, str(index)))


def test_every_number_of_a_recipe_or_protocol_is_bounded():
    numbers = [number for kind in ("recipe", "protocol") for number in numbers_in(schema(kind, REGISTRY))]
    assert len(numbers) >= 100, "where did the numbers go?"
    unbounded = [path for path, node in numbers if not (set(LOW) & node.keys() and set(HIGH) & node.keys())]
    assert unbounded == []


def bounds_of(part: type[Part]) -> Iterator[tuple[str, float]]:
    """Yield the least and the largest value of each number among the options of a part."""
    for name, field in part.model_fields.items():
        if not isinstance(field.annotation, type) or not issubclass(field.annotation, Part):
            for _, number in numbers_in(TypeAdapter(field.rebuild_annotation()).json_schema()):
                yield from ((name, number[key]) for key in (*LOW, *HIGH) if key in number)


def recipe_with(part: type[Part], options: dict[str, Any]) -> Recipe | None:
    """Return a recipe with a part in the first place that takes it; None if no recipe has one."""
    new = sample(part, REGISTRY).model_dump(mode="json") | options
    for recipe in RECIPES:
        for path, old in parts_with_paths(recipe):
            if old.slot == part.slot:
                content = recipe.model_dump(mode="json")
                parent = reduce(lambda at, step: at[step], path[:-1], content)
                parent[path[-1]] = new
                with suppress(ValidationError):
                    return Recipe.model_validate(content, context=REGISTRY)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=[f"{part.slot}-{part.use}" for part in PARTS])
def test_a_recipe_with_the_least_or_largest_value_of_an_option_is_fine_or_refused(part):
    for name, value in bounds_of(part):
        recipe = recipe_with(part, {name: value})
        if recipe is None:
            continue
        start = process_time()
        with suppress(AmrbenchError):
            step_on_noise(RequiredSplits(recipe, PROTOCOL, Path("protocol.yaml")))
        assert process_time() - start < 10, f"{name}: {value}"
