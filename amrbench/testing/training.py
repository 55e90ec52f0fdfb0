"""The contracts of losses, matchers, optimizers and schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.part import Part
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import Matcher, MatcherPart
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.testing.model import build_model, expect_gradients, predict
from amrbench.testing.small_data import (
    CONTEXT,
    ContractFixture,
    close,
    expect,
    make_batch,
    make_target,
    pad_batch,
    pad_target,
    pick_rows,
)
from amrbench.types import Batch, Losses, Outcome, Target, Tensors, TrainingLength


def check_loss(part: Part, fixture: ContractFixture) -> None:
    """Check names, shapes, weight, gradients, padding, bfloat16 and saved weights of a loss."""
    who, part = f"loss {part.use!r}", cast("LossPart", part)
    views = frozenset(part.views)
    provider = _provider(part.requires.union(*part.views.values()), fixture, who, views)
    matchers = [one for one in fixture.samples("matcher") if one.requires <= provider.provides.keys()]
    expect(bool(matchers), f"no matcher of the registry fits the model {provider.use!r}.")
    matcher = max(matchers, key=lambda one: len(one.requires)).build()
    model, batch = build_model(provider), make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target, views)
    loss = part.build(CONTEXT).eval()
    terms = loss(outcome)
    _check_terms(terms, who)
    double = part.model_copy(update={"weight": 2 * part.weight}).build(CONTEXT).eval()(outcome)
    scaled = {name for name, term in terms.items() if close(2 * term, double[name])}
    expect(bool(scaled), f"{who}: doubling `weight` doubles no term.")
    others = sorted(name for name in terms.keys() - scaled if not close(terms[name], double[name]))
    expect(not others, f"{who}: doubling `weight` neither doubles nor keeps {', '.join(others)}.")
    _check_gradients(loss, outcome, who)
    wide, wide_target = pad_batch(batch, frames=5, words=2), pad_target(target, frames=5, windows=1)
    _check_terms(loss(outcome_of(model, matcher, wide, wide_target, views)), f"{who} (padded)")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _check_terms(loss(outcome_of(model, matcher, batch, target, views)), f"{who} (bfloat16)")
    other = part.build(replace(CONTEXT, seed=1)).eval()
    other.load_state_dict(loss.state_dict())
    loaded = other(outcome)
    for name, term in terms.items():
        same = close(term, loaded[name], within=1e-4)
        expect(same, f"{who}: saving and loading its weights changes the term {name!r}.")


def outcome_of(
    model: nn.Module, matcher: Matcher, batch: Batch, target: Target, views: frozenset[str] = frozenset()
) -> Outcome:
    """Return what a loss reads for a batch; the tensors are leaves that collect gradients."""
    moments = cast("MomentModel", model)
    with torch.no_grad():
        encoded = moments.encode(batch, views)
        tensors = {**encoded.tensors, **moments.decode(encoded).tensors}
        matched = matcher(tensors, target)
    return Outcome(
        batch,
        target,
        _leaves(tensors),
        {name: _leaves(view) for name, view in encoded.views.items()},
        matched,
    )


def check_matcher(part: Part, fixture: ContractFixture) -> None:
    """Check the matched queries: shape, range, no query twice, and that padding and order change nothing."""
    who, part = f"matcher {part.use!r}", cast("MatcherPart", part)
    model, matcher = build_model(_provider(part.requires, fixture, who)), part.build()
    batch = make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target)
    matched, mask = outcome.matched, target.spans_mask
    size = predict(model, batch).scores.shape[1]
    expect(
        matched.shape[1:] == mask.shape and not matched.is_floating_point(),
        f"{who}: it returns {matched.dtype} of {tuple(matched.shape)}, not integers (N, B, W).",
    )
    expect(bool((matched[:, ~mask] == -1).all()), f"{who}: it matches padded spans; give -1 there.")
    real = [layer[row][mask[row]] for layer in matched for row in range(len(mask))]  # of each layer and row
    in_range = all(bool(((queries >= 0) & (queries < size)).all()) for queries in real)
    expect(in_range, f"{who}: a matched query is not one of 0 to {size - 1}.")
    unique = all(len(queries.unique()) == len(queries) for queries in real)
    expect(unique, f"{who}: it matches one query to two spans.")
    padded = matcher(outcome.tensors, pad_target(target, windows=2))
    expect(torch.equal(padded[..., : mask.shape[1]], matched), f"{who}: padded spans change its matches.")
    order = [2, 0, 3, 1]
    shuffled = outcome_of(model, matcher, pick_rows(batch, order), pick_rows(target, order)).matched
    expect(torch.equal(shuffled, matched[:, order]), f"{who}: the order of the queries changes its matches.")


class _Quadratic(nn.Module):
    """A quadratic of one weight; another is not read by the loss, and a third is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = nn.Parameter(torch.linspace(-0.05, 0.05, 6).view(2, 3))
        self.idle = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def losses(self) -> Losses:
        total = (self.moved - torch.tensor([0.2, -0.1, 0.3])).square().sum()
        return Losses(total, {"quadratic": total.detach()})


def check_optimizer(part: Part, fixture: ContractFixture) -> None:
    """Check that it lowers a loss, restores weights after `eval_weights`, and repeats itself bit by bit."""
    who, part = f"optimizer {part.use!r}", cast("OptimizerPart", part)
    start, first, second = _Quadratic(), _minimized(part, who), _minimized(part, who)
    expect(bool(first.losses().total < start.losses().total), f"{who}: 60 steps do not lower a quadratic.")
    same = all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    expect(same, f"{who}: the same steps give other bits the second time.")
    expect(torch.equal(first.frozen, start.frozen), f"{who}: it moves a frozen weight.")


def _minimized(part: OptimizerPart, who: str) -> _Quadratic:
    torch.manual_seed(0)
    module = _Quadratic()
    updater = part.build(module, TrainingLength(epochs=6, steps_per_epoch=10, clip=1.0))
    for step in range(60):
        before = module.losses().total.detach()
        after = updater.step(module.losses).total.detach()
        expect(
            torch.equal(after, before), f"{who}: step {step} does not return the losses of its first call."
        )
        if step % 10 == 9:
            updater.end_epoch()
    trained = {name: weight.clone() for name, weight in module.state_dict().items()}
    with updater.eval_weights():
        total = module.losses().total
    restored = all(torch.equal(weight, trained[name]) for name, weight in module.state_dict().items())
    expect(restored, f"{who}: after eval_weights the weights are not what they were before.")
    expect(bool(total < _Quadratic().losses().total), f"{who}: its eval_weights do not lower a quadratic.")
    return module


def check_schedule(part: Part, fixture: ContractFixture) -> None:
    """Check that factors are in [0, 1], not all 0, and depend on the step alone, in short and long stages."""
    who, part = f"schedule {part.use!r}", cast("SchedulePart", part)
    for epochs, steps in ((1, 1), (3, 2), (10, 20)):
        factor = part.build(TrainingLength(epochs=epochs, steps_per_epoch=steps, clip=0.1))
        values = [factor(step) for step in range(epochs * steps + 1)]
        wrong = [value for value in values if not 0 <= value <= 1 + 1e-9]
        length = f"in {epochs} epochs of {steps} steps"
        expect(not wrong, f"{who}: {length} a factor is {wrong[:1]}, not in [0, 1].")
        expect(any(value > 0 for value in values), f"{who}: {length} all factors are 0.")
        again = [factor(step) for step in reversed(range(epochs * steps + 1))]
        expect(again[::-1] == values, f"{who}: its factors depend on earlier calls.")


def _provider(
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


def _leaves(tensors: Tensors) -> dict[str, Tensor]:
    return {
        name: tensor.detach().clone().requires_grad_(tensor.is_floating_point())
        for name, tensor in tensors.items()
    }


def _check_terms(terms: Mapping[str, Tensor], who: str) -> None:
    expect(bool(terms), f"{who}: it returns no term.")
    for name, term in terms.items():
        plain = re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) is not None
        expect(plain, f"{who}: the name {name!r} of a term is not lower-case letters, digits, '.', '_', '-'.")
        expect(term.dim() < 2, f"{who}: the term {name!r} has shape {tuple(term.shape)}, not () or (N,).")
        expect(bool(term.isfinite().all()), f"{who}: the term {name!r} is not finite: {term.tolist()}.")


def _check_gradients(loss: nn.Module, outcome: Outcome, who: str) -> None:
    before = {name: tensor.detach().clone() for name, tensor in outcome.tensors.items()}
    total = torch.stack([term.sum() for term in loss(outcome).values()]).sum()
    expect(total.requires_grad, f"{who}: its terms carry no gradient.")
    total.backward()  # type: ignore[no-untyped-call]
    inputs = [tensor for view in (outcome.tensors, *outcome.views.values()) for tensor in view.values()]
    grads = [tensor.grad for tensor in (*inputs, *loss.parameters()) if tensor.grad is not None]
    expect(all(bool(grad.isfinite().all()) for grad in grads), f"{who}: a gradient is not finite.")
    expect(any(bool(grad.any()) for grad in grads), f"{who}: all its gradients are zero.")
    expect_gradients(loss, who)
    changed = [name for name, tensor in outcome.tensors.items() if not torch.equal(tensor, before[name])]
    expect(not changed, f"{who}: it writes into {', '.join(changed)}.")
