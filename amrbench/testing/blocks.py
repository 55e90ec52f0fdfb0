"""The contract of blocks: a small model that has the block in all its slots keeps the contract of a model."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar, cast, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from amrbench.interfaces import brief
from amrbench.part import Part, Strict, parts_in, slot_of
from amrbench.slots.blocks import ActivationPart
from amrbench.testing.model import check_model
from amrbench.testing.small_data import ContractFixture, close, expect
from amrbench.testing.unchanged import unchanged

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
        check_model(model, fixture, watched=part)
    except AssertionError as error:
        named = str(error).startswith(who)
        raise AssertionError(str(error) if named else f"{who} in {error}") from None


def check_activation(part: Part, fixture: ContractFixture) -> None:
    """Check the modules that an activation makes, and a model with it."""
    who, made = f"activation {part.use!r}", cast("ActivationPart", part).build()
    rows = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    for method in ("mlp", "feedforward"):
        module, other = getattr(made, method)(), getattr(made, method)()
        expect(isinstance(module, nn.Module), f"{who}: {method} returns {brief(module)}, not an nn.Module.")
        expect(module is not other, f"{who}: {method} returns one module twice. Make a new one in each call.")
        with torch.no_grad(), unchanged(f"{who}: {method}", rows=rows):
            result = module.eval()(rows)
            alone = module(rows[1:2])
        fits = isinstance(result, Tensor) and result.shape == rows.shape and result.dtype == rows.dtype
        expect(fits, f"{who}: {method} makes {brief(result)} of float32 rows {tuple(rows.shape)}.")
        expect(close(result[1:2], alone), f"{who}: {method}: the rest of the batch changes its numbers.")
    check_block(part, fixture)


def model_with(options: S, part: Part) -> S:
    """Return options with a part in all fields of its slot, at any depth.

    It is appended to a list of parts, in place of those that have its name or provide the same tensors. A
    field keeps its value where the options would not be valid otherwise.
    """
    slot, provided = slot_of(type(part)), set(getattr(part, "provides", ()))
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
