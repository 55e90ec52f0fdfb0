"""The contract of blocks: a small model that has the block in all its slots keeps the contract of a model."""

from __future__ import annotations

from typing import TypeVar, get_args

from pydantic import ValidationError

from amrbench.part import Part, Strict, parts_in
from amrbench.slots.model import ModelPart
from amrbench.testing.model import check_model
from amrbench.testing.options import slot_of
from amrbench.testing.small_data import ContractFixture, expect

S = TypeVar("S", bound=Strict)


def check_block(part: Part, fixture: ContractFixture) -> None:
    """Check a block in the first model that has its slot."""
    who = f"{part.slot} {part.use!r}"
    model = _model_around(part, fixture)
    expect(model is not None, f"{who}: no installed model has its slot; pass one with models=[...].")
    try:
        check_model(model, fixture)  # type: ignore[arg-type]
    except AssertionError as error:
        raise AssertionError(f"{who} in {error}") from None


def model_with(options: S, part: Part) -> S:
    """Return options with a part in all fields of its slot, at any depth.

    It is appended to a list of parts, in place of those that have its name or provide the same tensors. A
    field keeps its value where the options would not be valid otherwise.
    """
    for name in type(options).model_fields:
        value = _replaced(options, name, part)
        if value is not getattr(options, name):
            options = _validated(options, name, value)
    return options


def _model_around(part: Part, fixture: ContractFixture) -> ModelPart | None:
    for base in fixture.all_models():
        model = model_with(base, part)
        if model != base or part in parts_in(base):
            return model
    return None


def _replaced(options: Strict, name: str, part: Part) -> object:
    value, annotation = getattr(options, name), type(options).model_fields[name].annotation
    if annotation is slot_of(part):
        return part
    if isinstance(value, tuple) and slot_of(part) in get_args(annotation):
        provided = set(getattr(part, "provides", ()))
        others = [other for other in value if other.use != part.use]
        return (*(other for other in others if not provided & set(getattr(other, "provides", ()))), part)
    return model_with(value, part) if isinstance(value, Strict) else value


def _validated(options: S, name: str, value: object) -> S:
    fields = {field: getattr(options, field) for field in type(options).model_fields}
    try:
        return type(options).model_validate({**fields, name: value})
    except ValidationError:
        return options
