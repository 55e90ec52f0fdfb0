"""Every installed part is checked by the contract of its slot; new parts are found without a list."""

import pytest

from amrbench.config.load import load_recipe, shipped
from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.part import locates
from amrbench.testing import CONTRACTS, check_part, sample

REGISTRY = load_registry()
PARTS = [REGISTRY.entry(slot, use).part for slot in REGISTRY.slots() for use in REGISTRY.names(slot)]
NAMES = [f"{part.slot}-{part.use}" for part in PARTS]
PATHS = [
    (part, name)
    for part in PARTS
    for name, field in part.model_fields.items()
    if locates(field) and field.annotation is str
]


@pytest.fixture(scope="module")
def models():
    """The models of the shipped recipes, which provide what losses require."""
    return [load_recipe(path, REGISTRY).model for path in shipped("recipe")]


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_part_keeps_the_contract_of_its_slot(part, models):
    check_part(sample(part, REGISTRY), REGISTRY, models=models)


@pytest.mark.parametrize(("part", "option"), PATHS, ids=[f"{part.use}-{name}" for part, name in PATHS])
def test_a_path_below_an_unknown_user_is_refused(part, option):
    whole = sample(part, REGISTRY)
    changed = whole.model_copy(update={option: "~castella/x"})
    features = REGISTRY.find("features", "simulated")()
    needed = (next(iter(whole.build().splits())), features) if part.slot == "dataset" else ()
    with pytest.raises(DataError, match="'~castella/x': there is no user 'castella', so this path"):
        changed.required_files(*needed)


def test_parts_are_found():
    assert len(PARTS) >= 35, "where did the parts go?"


def test_every_slot_has_a_contract():
    assert set(REGISTRY.slots()) <= set(CONTRACTS)
