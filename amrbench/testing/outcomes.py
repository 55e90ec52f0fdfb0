"""What losses and matchers read, made by a model of the registry for a small batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.slots.matcher import Matcher
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.model_runs import rows_of
from amrbench.testing.small_data import ContractFixture, pick_rows
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
