"""Every installed part is checked by the contract of its slot; new parts are found without a list."""

import pytest

from amrbench.config.load import load_recipe, shipped
from amrbench.discovery import load_registry
from amrbench.testing import CONTRACTS, check_part, sample

REGISTRY = load_registry()
PARTS = [REGISTRY.entry(slot, use).part for slot in REGISTRY.slots() for use in REGISTRY.names(slot)]
NAMES = [f"{part.slot}-{part.use}" for part in PARTS]


@pytest.fixture(scope="module")
def models():
    """The models of the shipped recipes, which provide what losses require."""
    return [load_recipe(path, REGISTRY).model for path in shipped("recipe")]


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_part_keeps_the_contract_of_its_slot(part, models):
    check_part(sample(part, REGISTRY), REGISTRY, models=models)


def test_parts_are_found():
    assert len(PARTS) >= 35, "where did the parts go?"


def test_every_slot_has_a_contract():
    assert set(REGISTRY.slots()) <= set(CONTRACTS)
