"""Contracts of the slots inside `moment-detr`, for the tests of plugins that fill them.

    from amrbench.testing import check_part, sample
    from amrbench_plugins.moment_detr.testing import CONTRACTS

    def test_my_head_keeps_the_contract():
        check_part(sample(MyHead, registry), registry, contracts=CONTRACTS)

A part is tried in its place in a small model, which must then keep the contract of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from amrbench.part import Part, Strict
from amrbench.slots.blocks import HeadPart, RefinePart
from amrbench.testing import Contract, ContractFixture, check_model, expect, sample
from amrbench.testing.options import slot_of
from amrbench_plugins.moment_detr.model import MomentDetr

S = TypeVar("S", bound=Strict)


def check_in_its_place(part: Part, bench: ContractFixture) -> None:
    """Check that a small model with this part in every place of its slot keeps the contract of a model."""
    who = f"{part.slot} {part.use!r}"
    base = sample(MomentDetr, bench.registry)
    try:
        model = MomentDetr.model_validate(_fields(model_with(base, part)))
    except ValidationError as error:
        raise AssertionError(f"{who} fits into no small model: {error.errors()[0]['msg']}") from None
    expect(model != base or _holds(base, part), f"{who}: no place for it was found in a small model.")
    try:
        check_model(model, bench)
    except AssertionError as error:
        raise AssertionError(f"{who}, in its place in a {error}") from None


def model_with(options: S, part: Part) -> S:
    """Return options, at any depth, with this part in all places of its slot.

    A refinement or a head joins a list; heads that provide the same tensors make room.
    """
    changed = {name: _replaced(options, name, value, part) for name, value in _fields(options).items()}
    return options.model_copy(update=changed)


def _replaced(options: Strict, name: str, value: Any, part: Part) -> Any:
    if type(options).model_fields[name].annotation is slot_of(part):
        return part
    if isinstance(value, Strict):
        return model_with(value, part)
    if name == "heads" and isinstance(part, HeadPart):
        return (*(head for head in value if not head.provides & part.provides), part)
    if isinstance(part, RefinePart) and (
        name == "memory_refine" or (name == "audio_refine" and not part.needs_token)
    ):
        return (*(each for each in value if each.use != part.use), part)
    return value


def _fields(options: Strict) -> dict[str, Any]:
    return {name: getattr(options, name) for name in type(options).model_fields}


def _holds(options: Strict, part: Part) -> bool:
    values = [
        each
        for value in _fields(options).values()
        for each in (value if isinstance(value, tuple) else [value])
    ]
    return any(each == part or (isinstance(each, Strict) and _holds(each, part)) for each in values)


CONTRACTS: Mapping[str, Contract] = dict.fromkeys(
    (
        *("activation", "anchors", "attention_norm", "decoder", "encoder", "fusion"),
        *("head", "prior", "query", "refine", "temporal_embedding"),
    ),
    check_in_its_place,
)
