import pytest
from pydantic_core import PydanticCustomError

from amrbench.errors import PluginError
from amrbench.part import Part
from amrbench.registry import Entry, Origin, Registry


class BreadPart(Part):
    slot = "bread"


class CheesePart(Part):
    slot = "cheese"


class Rye(BreadPart):
    """Dark."""

    use = "rye"


class Wheat(BreadPart):
    """Light."""

    use = "wheat"


class Gouda(CheesePart):
    """Mild."""

    use = "gouda"


class OtherRye(BreadPart):
    """Darker."""

    use = "rye"


REGISTRY = Registry.of(Wheat, Rye, Gouda)


def refusal(slot, use):
    with pytest.raises(PydanticCustomError) as error:
        REGISTRY.find(slot, use)
    return error.value.message()


def test_slots_and_names_are_sorted():
    assert REGISTRY.slots() == ["bread", "cheese"]
    assert REGISTRY.names("bread") == ["rye", "wheat"]
    assert REGISTRY.names("nothing") == []


def test_a_part_is_looked_up_by_slot_and_name():
    assert REGISTRY.find("bread", "rye") is Rye
    assert REGISTRY.entry("cheese", "gouda").part is Gouda


def test_the_owner_of_a_part_and_of_its_instances_is_known():
    assert str(REGISTRY.origin(Rye)) == "here (unknown 0)"
    assert REGISTRY.origin(Rye()) == Origin("here")


def test_a_misspelt_name_suggests_the_near_one():
    assert refusal("bread", "weat") == (
        "no bread part is called 'weat'. Did you mean 'wheat'? Installed bread parts: rye, wheat."
    )


def test_a_name_far_from_all_lists_what_there_is():
    assert refusal("cheese", "x") == "no cheese part is called 'x'. Installed cheese parts: gouda."


def test_a_part_of_another_slot_is_named_as_such():
    assert (
        refusal("bread", "gouda")
        == "'gouda' is a cheese part, not a bread part. Installed bread parts: rye, wheat."
    )


@pytest.mark.parametrize("use", [7, None, True, ["rye"], {"rye": 1}])
def test_the_name_of_a_part_is_text(use):
    assert refusal("bread", use) == (
        f"the name of a bread part is text, not {use!r}. Installed bread parts: rye, wheat."
    )


def test_an_empty_slot_has_no_parts():
    assert refusal("wine", "merlot") == "no wine part is called 'merlot'. Installed wine parts: none."


def test_the_same_name_from_two_owners_is_refused_in_any_order():
    entries = [Entry(Rye, Origin("b", "bee", "2")), Entry(OtherRye, Origin("a", "ay", "1"))]
    for order in (entries, entries[::-1]):
        with pytest.raises(PluginError) as error:
            Registry(order)
        assert str(error.value) == (
            "two plugins offer the bread part 'rye': a (ay 1) and b (bee 2).\n"
            "Rename one, or leave one out with --without b."
        )


def test_a_clash_with_a_shipped_plugin_never_advises_to_leave_that_out():
    shipped, other = Entry(Rye, Origin("z", "amrbench", "1")), Entry(OtherRye, Origin("a", "ay", "1"))
    for order in ([shipped, other], [other, shipped]):
        with pytest.raises(PluginError) as error:
            Registry(order)
        assert str(error.value) == (
            "two plugins offer the bread part 'rye': a (ay 1) and z (amrbench 1).\n"
            "Rename that of a (ay 1), or leave it out with --without a."
        )


def test_a_plugin_that_offers_a_name_twice_is_named():
    with pytest.raises(PluginError) as error:
        Registry.of(Rye, OtherRye)
    assert str(error.value) == (
        "plugin here (unknown 0) offers the bread part 'rye' twice: tests.core.test_registry.Rye and "
        "tests.core.test_registry.OtherRye.\n"
        "Offer it once, or leave the plugin out with --without here."
    )
