from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import pytest
from pydantic import Field

from amrbench.errors import RecipeError
from amrbench.part import Part, Strict, budgeted
from amrbench.registry import Registry
from amrbench.tools.list_parts import find_part, option_rows, part_rows


class FlavourPart(Part):
    """A slot."""

    slot = "flavour"


class Bowl(Strict):
    size: int = 3


class Salt(FlavourPart):
    """Season it.

    With more words below.
    """

    use = "salt"
    grains: int = budgeted(10, "grains", ge=1, le=99, description="how many")


class Mix(FlavourPart):
    """Hold others."""

    use = "mix"
    first: FlavourPart
    others: tuple[FlavourPart, ...] = Field((), min_length=0)
    bowl: Bowl = Bowl()
    lid: float | None = None
    range: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    names: Mapping[str, str] = {}


REGISTRY = Registry.of(Salt, Mix)


def test_each_part_is_one_row_with_its_owner_and_first_line():
    rows = part_rows(REGISTRY)
    assert [(row["slot"], row["part"], row["about"]) for row in rows] == [
        ("flavour", "mix", "Hold others."),
        ("flavour", "salt", "Season it."),
    ]
    assert rows[0]["shipped_by"] == "here (unknown 0)"


def test_options_show_type_default_bounds_and_budget_word():
    (row,) = option_rows(Salt)
    assert row == {
        "option": "grains",
        "type": "int",
        "default": "10",
        "bounds": ">= 1, <= 99",
        "about": "how many (budget: grains)",
    }


def test_nested_parts_are_named_by_their_slot():
    rows = {row["option"]: row for row in option_rows(Mix)}
    assert rows["first"]["type"] == "flavour part"
    assert rows["first"]["default"] == "required"
    assert rows["others"]["type"] == "flavour parts"
    assert rows["bowl"]["default"] == "{'size': 3}"


def test_types_are_written_as_in_a_recipe_and_without_the_constraints_of_items():
    rows = {row["option"]: row for row in option_rows(Mix)}
    assert rows["lid"]["type"] == "float | null"
    assert rows["range"]["type"] == "tuple[int, ...] | null"
    assert rows["names"]["type"] == "Mapping[str, str]"


def test_unknown_slot_suggests_the_near_one():
    with pytest.raises(
        RecipeError, match=r"there is no slot 'flavor'. Did you mean 'flavour'\? Slots: flavour."
    ):
        part_rows(REGISTRY, "flavor")


def test_unknown_part_suggests_the_near_one():
    with pytest.raises(RecipeError, match="no flavour part is called 'slat'. Did you mean 'salt'"):
        find_part(REGISTRY, "flavour", "slat")
