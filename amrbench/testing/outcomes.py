"""What losses and matchers read, made by a model of the registry for a small batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.matcher import Matcher
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.model_runs import rows_of
from amrbench.testing.small_data import ContractFixture, expect, pick_rows
from amrbench.types import Batch, Outcome, Target, Tensors


def provider_of(
    names: frozenset[str], fixture: ContractFixture, who: str, views: frozenset[str] = frozenset()
) -> ModelPart:
    """Return the first model that provides tensors of these names, and has these views."""
    for part in fixture.all_models():
        if names <= part.provides.keys() and views <= part.views:
            return part
    raise AssertionError(
        f"{who}: it requires {', '.join(sorted(names)) or 'nothing'}, which no model here provides; "
        f"pass one that does: check_part(part, registry, models=[...])."
    )


def outcome_of(
    model: nn.Module, matcher: Matcher, batch: Batch, target: Target, views: frozenset[str] = frozenset()
) -> Outcome:
    """Return what a loss reads for a batch; the tensors are leaves that collect gradients."""
    moments = cast("MomentModel", model)
    with torch.no_grad():
        encoded = moments.encode(batch, views)
        tensors = {**encoded.tensors, **moments.decode(encoded)}
        matched = matcher(tensors, target)
    seen = {name: leaves(view) for name, view in encoded.views.items()}
    return Outcome(batch, target, leaves(tensors), seen, matched)


def leaves(tensors: Tensors) -> dict[str, Tensor]:
    """Return copies that collect gradients."""
    return {
        name: tensor.detach().clone().requires_grad_(tensor.is_floating_point())
        for name, tensor in tensors.items()
    }


class Declared(dict[str, Tensor]):
    """Tensors of which a part may read those that it requires, and those that it first asks for.

    A name that it asks for, by `in` or `get`, may be missing without harm, so it need not be required.
    """

    def __init__(self, tensors: Tensors, required: frozenset[str], fault: str) -> None:
        """Give required names, and what is wrong about another one, with a place for it: "reads {!r}"."""
        super().__init__(tensors)
        self.known = set(required)
        self.fault = fault

    @override
    def __getitem__(self, name: str) -> Tensor:
        expect(name in self.known, self.fault.format(name))
        return super().__getitem__(name)

    @override
    def __contains__(self, name: object) -> bool:
        self.known.add(str(name))
        return super().__contains__(name)

    @override
    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - which would call itself


def declared(tensors: Tensors, required: frozenset[str], who: str) -> Declared:
    """Return tensors that raise AssertionError where a part reads one that it does not require."""
    return Declared(tensors, required, f"{who}: it reads {{!r}} without requiring it; add it to `requires`.")


def rows_of_outcome(outcome: Outcome, axes: Mapping[str, str], rows: list[int]) -> Outcome:
    """Return some rows of an outcome, in this order and possibly several times.

    Args:
        outcome: Of a whole batch.
        axes: Those of each tensor, see `ModelPart.provides`.
        rows: Indices of queries.
    """

    def of(tensors: Tensors) -> dict[str, Tensor]:
        batched = {name: "B" in axes[name].split() for name in tensors}
        own = {name: rows_of(tensors[name], axes[name], rows) for name in tensors if batched[name]}
        return leaves({**tensors, **own})

    return replace(
        outcome,
        batch=pick_rows(outcome.batch, rows),
        target=pick_rows(outcome.target, rows),
        tensors=of(outcome.tensors),
        views={name: of(view) for name, view in outcome.views.items()},
        matched=outcome.matched[:, rows],
    )
