"""Every registered part is held to the contract of its slot; new ones are found by themselves."""

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

import pytest

from amrbench.config.load import load_recipe, shipped
from amrbench.discovery import GROUP, load_registry
from amrbench.testing import CONTRACTS, check_part, sample

REGISTRY = load_registry()
PARTS = [REGISTRY.entry(slot, use).part for slot in REGISTRY.slots() for use in REGISTRY.names(slot)]
NAMES = [f"{part.slot}-{part.use}" for part in PARTS]


def contracts_of_plugins():
    """The contracts that plugins keep for their own slots, in a module `testing`."""
    names = [f"{point.value}.testing" for point in entry_points(group=GROUP)]
    modules = [import_module(name) for name in names if find_spec(name)]
    return {slot: contract for module in modules for slot, contract in module.CONTRACTS.items()}


EXTRA = contracts_of_plugins()


@pytest.fixture(scope="module")
def models():
    """The models of the shipped recipes, which provide what losses require."""
    return [load_recipe(path, REGISTRY).model for path in shipped("recipe")]


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_part_keeps_the_contract_of_its_slot(part, models):
    check_part(sample(part, REGISTRY), REGISTRY, contracts=EXTRA, models=models)


def test_parts_are_found():
    assert len(PARTS) >= 35, "where did the parts go?"


def test_no_plugin_replaces_a_contract_of_the_core():
    assert not set(EXTRA) & set(CONTRACTS)
