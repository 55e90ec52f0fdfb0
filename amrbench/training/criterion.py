"""A model, its matcher and its losses as one module, from a batch and its targets to the total loss."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from amrbench.config.recipe import Recipe
from amrbench.errors import PluginError, RecipeError, did_you_mean
from amrbench.files.weights import names_below
from amrbench.interfaces import check_results, checked_result
from amrbench.slots.matcher import Matcher
from amrbench.training.parameter_limit import limited_parameters
from amrbench.types import (
    Batch,
    BuildContext,
    Encoded,
    Losses,
    Outcome,
    Target,
    Tensors,
)


class Criterion(nn.Module):
    """All that a stage trains: the model, and the losses, which may have parameters of their own."""

    def __init__(
        self,
        model: nn.Module,
        matcher: Matcher,
        losses: Mapping[str, nn.Module],
        views: frozenset[str] = frozenset(),
    ) -> None:
        """Join the parts; `views` are those that the losses need from the model."""
        super().__init__()
        self.model = model
        self.matcher = matcher
        self.losses = nn.ModuleDict(losses)
        self.views = views

    def forward(self, batch: Batch, target: Target, step: int = 0) -> Losses:
        """Return the losses of some queries at a step of the stage; terms are detached from the graph."""
        terms = self.terms(batch, target, step)
        total = torch.stack(list(terms.values())).sum()
        return Losses(total=total, terms={name: value.detach() for name, value in terms.items()})

    def terms(self, batch: Batch, target: Target, step: int = 0) -> dict[str, Tensor]:
        """Return the terms of the total, each a scalar; those of several decoder layers (N,) are summed.

        Only the matcher waits for the device.
        """
        encoded = self.model.encode(batch, views=self.views)  # type: ignore[operator]
        tensors = dict(tensors_of(self.model, encoded))
        with torch.no_grad():
            matched = checked_result(self.matcher, "__call__", self.matcher(tensors, target), Tensor)
        outcome = Outcome(batch, target, tensors, encoded.views, matched, step)
        terms: dict[str, Tensor] = {}
        for use, loss in self.losses.items():
            own = checked_result(loss, "__call__", loss(outcome), dict)
            check_results(loss, "__call__", own.values(), Tensor)
            for name, value in own.items():
                if name in terms:
                    raise PluginError(
                        f"the loss {use!r} gives a term {name!r}, which another loss of this recipe gives "
                        "too. Leave one of them out, or rename the term in its plugin."
                    )
                terms[name] = value.sum()
        return terms


def tensors_of(model: nn.Module, encoded: Encoded) -> Tensors:
    """Return all tensors that a model provides for an encoded batch; those made on request stay so."""
    encoded = checked_result(model, "encode", encoded, Encoded)
    decoded = checked_result(model, "decode", model.decode(encoded), Mapping)  # type: ignore[operator, type-abstract]
    return ChainMap(dict(decoded), encoded.tensors)  # type: ignore[arg-type]


def build_criterion(recipe: Recipe, context: BuildContext) -> Criterion:
    """Build model, matcher and losses of a recipe; each draws its initial weights with its own seed.

    Raises:
        RecipeError: There are too many parameters, or `fresh` of a stage names weights that the model does
            not have.
    """
    training = recipe.training
    losses = {}
    with limited_parameters(recipe.name):
        with context.drawing():
            model = recipe.model.build(context)
        for part in training.losses:
            loss_context = replace(context, path=f"losses.{part.use}")
            with loss_context.drawing():
                losses[part.use] = part.build(loss_context)
    views = frozenset(view for part in training.losses for view in part.views)
    names = model.state_dict().keys()
    for stage in recipe.stages:
        for path in stage.fresh:
            if not names_below(path, names):
                known = sorted({".".join(name.split(".")[:2]) for name in names})
                raise RecipeError(
                    f"{recipe.name}: 'fresh' of the stage {stage.name!r} names {path!r}, where the model has "
                    f"no weights.{did_you_mean(path, known)} Known: {', '.join(known)}."
                )
    return Criterion(model, training.matcher.build(), losses, views)
