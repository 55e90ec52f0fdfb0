import amrbench.slots


def slot_classes():
    """Return the abstract parts of the core that stand for a slot."""
    from amrbench.part import Part

    todo, slots = [Part], {}
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            if kind.__dict__.get("slot") and kind.__module__.startswith("amrbench.slots."):
                slots[kind.__name__] = kind
    return slots


def test_all_abstract_parts_can_be_imported_from_the_package():
    assert sorted(slot_classes()) == amrbench.slots.__all__
    assert all(getattr(amrbench.slots, name) is kind for name, kind in slot_classes().items())


def test_every_slot_says_what_its_parts_build():
    assert {name for name, kind in slot_classes().items() if kind.builds is None} == set()
