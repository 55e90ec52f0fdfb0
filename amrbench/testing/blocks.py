"""The contract of blocks: a small model that has the block in all its slots keeps the contract of a model."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar, get_args

from pydantic import ValidationError

from amrbench.part import Part, Strict, parts_in
from amrbench.testing.model import check_model
from amrbench.testing.options import slot_of
from amrbench.testing.small_data import ContractFixture

S = TypeVar("S", bound=Strict)


def check_block(part: Part, fixture: ContractFixture) -> None:
    """Check a block in the first model that has its slot."""
    who = f"{part.slot} {part.use!r}"
    for base in fixture.all_models():
        model = model_with(base, part)
        if model != base or part in parts_in(base):
            break
    else:
        raise AssertionError(f"{who}: no installed model has its slot; pass one with models=[...].")
    try:
        check_model(model, fixture)
    except AssertionError as error:
        raise AssertionError(f"{who} in {error}") from None


def model_with(options: S, part: Part) -> S:
    """Return options with a part in all fields of its slot, at any depth.

    It is appended to a list of parts, in place of those that have its name or provide the same tensors. A
    field keeps its value where the options would not be valid otherwise.
    """
    slot, provided = slot_of(part), set(getattr(part, "provides", ()))
    for name, field in type(options).model_fields.items():
        value = changed = getattr(options, name)
        if field.annotation is slot:
            changed = part
        elif isinstance(value, tuple) and slot in get_args(field.annotation):
            kept = [
                other
                for other in value
                if other.use != part.use and provided.isdisjoint(getattr(other, "provides", ()))
            ]
            changed = (*kept, part)
        elif isinstance(value, Strict):
            changed = model_with(value, part)
        if changed is not value:
            with suppress(ValidationError):
                options = type(options).model_validate({**dict(options), name: changed})
    return options
