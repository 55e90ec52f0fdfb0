"""What holds for every loss, matcher, optimizer and schedule."""

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
from amrbench.testing.model import build_model
from amrbench.testing.samples import (
    CONTEXT,
    ContractFixture,
    close,
    expect,
    make_batch,
    make_target,
    pad_batch,
    pad_target,
    pick_rows,
    pick_targets,
    sample,
)
from amrbench.types import Batch, Losses, Outcome, Target, Tensors, TrainingLength


def check_loss(part: Part, fixture: ContractFixture) -> None:
    """Check names, shapes, weight, gradients, padding, bfloat16 and saved weights of a loss."""
    who, part = f"loss {part.use!r}", cast("LossPart", part)
    provider = _provider(
        part.requires | frozenset().union(*part.views.values()), fixture, who, set(part.views)
    )
    model, matcher = build_model(provider), _matcher(provider, fixture)
    batch = make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target, frozenset(part.views))
    loss = part.build(CONTEXT).eval()
    terms = loss(outcome)
    _check_terms(terms, who)
    _check_weight(part, terms, outcome, who)
    _check_pull(loss, outcome, who)
    wide, wide_target = pad_batch(batch, frames=5, words=2), pad_target(target, frames=5, windows=1)
    _check_terms(
        loss(outcome_of(model, matcher, wide, wide_target, frozenset(part.views))), f"{who} (padded)"
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _check_terms(
            loss(outcome_of(model, matcher, batch, target, frozenset(part.views))), f"{who} (bfloat16)"
        )
    other = part.build(replace(CONTEXT, seed=1)).eval()
    other.load_state_dict(loss.state_dict())
    _same_terms(terms, other(outcome), f"{who}: saving and loading its weights")


def outcome_of(
    model: nn.Module, matcher: Matcher, batch: Batch, target: Target, views: frozenset[str] = frozenset()
) -> Outcome:
    """Return what a loss sees of a batch; the tensors are leaves that collect gradients."""
    moments = cast("MomentModel", model)
    with torch.no_grad():
        encoded = moments.encode(batch, views)
        given = {**encoded.tensors, **moments.decode(encoded).tensors}
        matched = matcher(given, target)
    return Outcome(
        batch,
        target,
        _leaves(given),
        {name: _leaves(tensors) for name, tensors in encoded.views.items()},
        matched,
    )


def check_matcher(part: Part, fixture: ContractFixture) -> None:
    """Check the shape of a matcher's indices, that none is given twice, and padding and order."""
    who, part = f"matcher {part.use!r}", cast("MatcherPart", part)
    model, matcher = build_model(_provider(part.requires, fixture, who)), part.build()
    batch = make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target)
    matched, mask = outcome.matched, target.spans_mask
    size = len(cast("MomentModel", model).decode(cast("MomentModel", model).encode(batch)).scores[0])
    expect(
        matched.shape[1:] == mask.shape and not matched.is_floating_point(),
        f"{who}: it returns {matched.dtype} of {tuple(matched.shape)}, not integers (N, B, W).",
    )
    expect(bool((matched[:, ~mask] == -1).all()), f"{who}: it matches spans that are padding; give -1 there.")
    real = [layer[row][mask[row]] for layer in matched for row in range(len(mask))]
    inside = all(bool(((each >= 0) & (each < size)).all()) for each in real)
    expect(inside, f"{who}: a query that it names is not one of 0 to {size - 1}.")
    expect(all(len(each.unique()) == len(each) for each in real), f"{who}: it gives one query to two spans.")
    padded = matcher(outcome.tensors, pad_target(target, windows=2))
    expect(torch.equal(padded[..., : mask.shape[1]], matched), f"{who}: padded spans change its matches.")
    order = [2, 0, 3, 1]
    shuffled = outcome_of(model, matcher, pick_rows(batch, order), pick_targets(target, order)).matched
    expect(torch.equal(shuffled, matched[:, order]), f"{who}: the order of the queries changes its matches.")


class Bowl(nn.Module):
    """A quadratic with one weight for every use: moved, untouched by the loss, and frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = nn.Parameter(torch.linspace(-0.05, 0.05, 6).view(2, 3))
        self.idle = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def losses(self) -> Losses:
        """Return the distance to a point, squared."""
        total = (self.moved - torch.tensor([0.2, -0.1, 0.3])).square().sum()
        return Losses(total, {"bowl": total.detach()})


def check_optimizer(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that it goes downhill, gives weights back as they were, and repeats itself bit by bit."""
    who, part = f"optimizer {part.use!r}", cast("OptimizerPart", part)
    start, first, second = Bowl(), _descended(part, who), _descended(part, who)
    expect(bool(first.losses().total < start.losses().total), f"{who}: 60 steps do not lower a quadratic.")
    same = all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    expect(same, f"{who}: the same steps give other bits the second time.")
    expect(torch.equal(first.frozen, start.frozen), f"{who}: it moves a weight that is frozen.")


def _descended(part: OptimizerPart, who: str) -> Bowl:
    torch.manual_seed(0)
    bowl = Bowl()
    updater = part.build(bowl, TrainingLength(epochs=6, steps_per_epoch=10, clip=1.0))
    for step in range(60):
        before = bowl.losses().total.detach()
        told = updater.step(bowl.losses).total.detach()
        expect(torch.equal(told, before), f"{who}: step {step} does not return the losses of its first call.")
        if step % 10 == 9:
            updater.end_epoch()
    kept = {name: each.clone() for name, each in bowl.state_dict().items()}
    with updater.eval_weights():
        scored = bowl.losses().total
    back = all(torch.equal(each, kept[name]) for name, each in bowl.state_dict().items())
    expect(back, f"{who}: after eval_weights the weights are not what they were.")
    expect(bool(scored < Bowl().losses().total), f"{who}: the weights that it would score are no better.")
    return bowl


def check_schedule(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that the factor stays from 0 to 1 in short and long stages and depends on the step alone."""
    who, part = f"schedule {part.use!r}", cast("SchedulePart", part)
    for epochs, steps in ((1, 1), (3, 2), (10, 20)):
        factor = part.build(TrainingLength(epochs=epochs, steps_per_epoch=steps, clip=0.1))
        values = [factor(step) for step in range(epochs * steps + 1)]
        wrong = [each for each in values if not 0 <= each <= 1 + 1e-9]
        expect(
            not wrong, f"{who}: in {epochs} epochs of {steps} steps a factor is {wrong[:1]}, not in [0, 1]."
        )
        expect(any(each > 0 for each in values), f"{who}: {epochs} epochs of {steps} steps never learn.")
        again = [factor(step) for step in reversed(range(epochs * steps + 1))]
        expect(again[::-1] == values, f"{who}: its factors depend on what was asked before.")


def _provider(
    names: frozenset[str], fixture: ContractFixture, who: str, views: set[str] | None = None
) -> ModelPart:
    names_of_models = fixture.registry.names("model")
    shipped = [sample(fixture.registry.find("model", use), fixture.registry) for use in names_of_models]
    offered = [*shipped, *fixture.models]
    for part in offered:
        if isinstance(part, ModelPart) and names <= part.provides.keys() and (views or set()) <= part.views:
            return part
    raise AssertionError(
        f"{who}: it requires {', '.join(sorted(names)) or 'nothing'}, which no model here provides; "
        f"pass one that does: check_part(part, registry, models=[...])."
    )


def _matcher(model: ModelPart, fixture: ContractFixture) -> Matcher:
    """Return the matcher that reads most of what the model provides."""
    parts = [
        sample(fixture.registry.find("matcher", use), fixture.registry)
        for use in fixture.registry.names("matcher")
    ]
    fitting = [
        part for part in parts if isinstance(part, MatcherPart) and part.requires <= model.provides.keys()
    ]
    expect(bool(fitting), f"no matcher of the registry fits the model {model.use!r}.")
    return max(fitting, key=lambda part: len(part.requires)).build()


def _leaves(tensors: Tensors) -> dict[str, Tensor]:
    return {
        name: each.detach().clone().requires_grad_(each.is_floating_point()) for name, each in tensors.items()
    }


def _check_terms(terms: Mapping[str, Tensor], who: str) -> None:
    expect(bool(terms), f"{who}: it returns no term.")
    for name, term in terms.items():
        plain = re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) is not None
        expect(plain, f"{who}: the term {name!r} needs a name of small letters, digits, '.', '_' and '-'.")
        expect(term.dim() < 2, f"{who}: the term {name!r} has shape {tuple(term.shape)}, not () or (N,).")
        expect(bool(term.isfinite().all()), f"{who}: the term {name!r} is not finite: {term.tolist()}.")


def _check_weight(part: LossPart, terms: Mapping[str, Tensor], outcome: Outcome, who: str) -> None:
    double = part.model_copy(update={"weight": 2 * part.weight}).build(CONTEXT).eval()(outcome)
    scaled = [name for name, term in terms.items() if close(2 * term, double[name])]
    same = [name for name, term in terms.items() if close(term, double[name])]
    expect(bool(scaled), f"{who}: doubling `weight` doubles no term.")
    odd = sorted(set(terms) - set(scaled) - set(same))
    expect(not odd, f"{who}: doubling `weight` neither doubles nor keeps {', '.join(odd)}.")


def _check_pull(loss: nn.Module, outcome: Outcome, who: str) -> None:
    before = {name: each.detach().clone() for name, each in outcome.tensors.items()}
    total = torch.stack([term.sum() for term in loss(outcome).values()]).sum()
    expect(total.requires_grad, f"{who}: its terms carry no gradient.")
    total.backward()  # type: ignore[no-untyped-call]
    tensors = [
        *outcome.tensors.values(),
        *(each for view in outcome.views.values() for each in view.values()),
    ]
    grads = [each.grad for each in (*tensors, *loss.parameters()) if each.grad is not None]
    expect(all(bool(each.isfinite().all()) for each in grads), f"{who}: a gradient is not finite.")
    expect(any(bool(each.any()) for each in grads), f"{who}: all its gradients are zero.")
    idle = [name for name, each in loss.named_parameters() if each.requires_grad and each.grad is None]
    expect(not idle, f"{who}: no gradient reaches {', '.join(idle)}.")
    changed = [name for name, each in outcome.tensors.items() if not torch.equal(each, before[name])]
    expect(not changed, f"{who}: it writes into {', '.join(changed)}.")


def _same_terms(one: Mapping[str, Tensor], other: Mapping[str, Tensor], cause: str) -> None:
    for name, term in one.items():
        expect(close(term, other[name], within=1e-4), f"{cause} changes the term {name!r}.")
