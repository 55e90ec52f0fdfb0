"""What holds for every block: a small model with it in every place of its slot keeps the contract of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, get_args

from pydantic import ValidationError

from amrbench.part import Part, Strict
from amrbench.slots.model import ModelPart
from amrbench.testing.model import check_model
from amrbench.testing.options import slot_of
from amrbench.testing.samples import ContractFixture, expect, sample

S = TypeVar("S", bound=Strict)


def check_block(part: Part, fixture: ContractFixture) -> None:
    """Check a block in the first model that has a place for it."""
    who = f"{part.slot} {part.use!r}"
    model = _model_around(part, fixture)
    expect(model is not None, f"{who}: no installed model has a place for it; pass one with models=[...].")
    try:
        check_model(model, fixture)  # type: ignore[arg-type]
    except AssertionError as error:
        raise AssertionError(f"{who}, in its place in a {error}") from None


def model_with(options: S, part: Part) -> S:
    """Return options, at any depth, with this part in all places of its slot.

    In a list of parts it joins the others; those that provide the same tensors make room. A place where the
    options would no longer fit together keeps what it has.
    """
    for name in type(options).model_fields:
        replaced = _replaced(options, name, part)
        if replaced is not getattr(options, name):
            options = _validated(options, name, replaced)
    return options


def _model_around(part: Part, fixture: ContractFixture) -> ModelPart | None:
    for base in _models(fixture):
        model = model_with(base, part)
        if model != base or part in _parts_below(base):
            return model
    return None


def _models(fixture: ContractFixture) -> Iterator[ModelPart]:
    for use in fixture.registry.names(ModelPart.slot):
        found = sample(fixture.registry.find(ModelPart.slot, use), fixture.registry)
        if isinstance(found, ModelPart):
            yield found
    yield from fixture.models


def _replaced(options: Strict, name: str, part: Part) -> object:
    value, annotation = getattr(options, name), type(options).model_fields[name].annotation
    if annotation is slot_of(part):
        return part
    if isinstance(value, tuple) and slot_of(part) in get_args(annotation):
        own = set(getattr(part, "provides", ()))
        others = [item for item in value if item.use != part.use]
        return (*(item for item in others if not own & set(getattr(item, "provides", ()))), part)
    return model_with(value, part) if isinstance(value, Strict) else value


def _validated(options: S, name: str, value: object) -> S:
    fields = {field: getattr(options, field) for field in type(options).model_fields}
    try:
        return type(options).model_validate({**fields, name: value})
    except ValidationError:
        return options


def _parts_below(options: Strict) -> Iterator[object]:
    for name in type(options).model_fields:
        value = getattr(options, name)
        for item in value if isinstance(value, tuple) else (value,):
            yield item
            if isinstance(item, Strict):
                yield from _parts_below(item)
