"""The contract of losses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.slots.losses import LossPart
from amrbench.testing.model import build_model, expect_gradients
from amrbench.testing.model_runs import LEAVE_OUT
from amrbench.testing.other_device import check_device, on_meta
from amrbench.testing.outcomes import Declared, declared, outcome_of, provider_of, rows_of_outcome
from amrbench.testing.small_data import (
    CONTEXT,
    ContractFixture,
    close,
    expect,
    make_batch,
    make_target,
    pad_batch,
    pad_target,
)
from amrbench.testing.unchanged import unchanged
from amrbench.types import Outcome

ORDER = [2, 0, 3, 1]
WITHIN = 1e-4
"""Largest change of a term, for terms up to 1 in size; relative to larger ones."""


def check_loss(part: Part, fixture: ContractFixture) -> None:
    """Check every term: name, shape, weight, padding, order and size of the batch, repetition, gradients.

    A term is a mean over queries, spans or frames, or a sum: the batch twice in a row keeps or doubles it.
    A loss that compares the queries of a batch with each other says so (`compares_queries`).
    """
    who, part = f"loss {part.use!r}", cast("LossPart", part)
    views = frozenset(part.views)
    provider = provider_of(part.requires.union(*part.views.values()), fixture, who, views)
    matchers = [one for one in fixture.samples("matcher") if one.requires <= provider.provides.keys()]
    expect(bool(matchers), f"no matcher of the registry fits the model {provider.use!r}.")
    matcher = max(matchers, key=lambda one: len(one.requires)).build()
    model, batch = build_model(provider), make_batch()
    target = make_target(batch)
    outcome = outcome_of(model, matcher, batch, target, views)
    loss = part.build(CONTEXT).eval()
    _check_reads(part, loss, outcome, who)
    with unchanged(who, tensors=outcome.tensors, views=outcome.views, batch=batch, target=target):
        terms = _terms(loss, outcome, who)
    _expect_same(terms, _terms(loss, outcome, who), f"{who}: calling it again", "Keep no state.", within=0)
    _check_weight(part, outcome, terms, who)
    _check_gradients(loss, outcome, who)
    wide, wide_target = pad_batch(batch, frames=5, words=2), pad_target(target, frames=5, windows=1)
    padded = _terms(loss, outcome_of(model, matcher, wide, wide_target, views), f"{who} (padded)")
    _expect_same(terms, padded, f"{who}: extra padding", LEAVE_OUT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _terms(loss, outcome_of(model, matcher, batch, target, views), f"{who} (bfloat16)")
    _check_batch(part, loss, outcome, provider.provides)
    _check_repetition(part, loss, outcome, who)
    check_device(lambda: part.build(CONTEXT).eval().to("meta")(on_meta(outcome)), who)


def _check_reads(part: LossPart, loss: nn.Module, outcome: Outcome, who: str) -> None:
    """Check that it reads no tensor that it does not require, which another model may not provide."""
    views = {
        name: Declared(
            tensors,
            part.views.get(name, frozenset()),
            f"{who}: it reads {{!r}} of the view {name!r} without requiring it; add it to `views`.",
        )
        for name, tensors in outcome.views.items()
    }
    loss(replace(outcome, tensors=declared(outcome.tensors, part.requires, who), views=views))


def _terms(loss: nn.Module, outcome: Outcome, who: str) -> Mapping[str, Tensor]:
    """Return the terms of a loss after a check of their names, shapes and numbers."""
    terms = loss(outcome)
    expect(isinstance(terms, dict), f"{who}: it returns {brief(terms)}, not a dict of terms by name.")
    expect(bool(terms), f"{who}: it returns no term.")
    for name, term in terms.items():
        plain = isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) is not None
        expect(plain, f"{who}: the name {name!r} of a term is not lower-case letters, digits, '.', '_', '-'.")
        expect(isinstance(term, Tensor), f"{who}: the term {name!r} is {brief(term)}, not a tensor.")
        expect(term.dim() < 2, f"{who}: the term {name!r} has shape {tuple(term.shape)}, not () or (N,).")
        expect(bool(term.isfinite().all()), f"{who}: the term {name!r} is not finite: {term.tolist()}.")
    return cast("dict[str, Tensor]", terms)


def _check_weight(part: LossPart, outcome: Outcome, terms: Mapping[str, Tensor], who: str) -> None:
    for name, term in terms.items():
        expect(
            term.dtype == torch.float32,
            f"{who}: the term {name!r} is {term.dtype}, where the input is torch.float32. Create tensors "
            "with the dtype of the input (new_zeros, dtype=...).",
        )
    double = part.model_copy(update={"weight": 2 * part.weight}).build(CONTEXT).eval()(outcome)
    scaled = {name for name, term in terms.items() if close(2 * term, double[name])}
    expect(bool(scaled), f"{who}: doubling `weight` doubles no term.")
    others = sorted(name for name in terms.keys() - scaled if not close(terms[name], double[name]))
    expect(not others, f"{who}: doubling `weight` neither doubles nor keeps {', '.join(others)}.")


def _check_gradients(loss: nn.Module, outcome: Outcome, who: str) -> None:
    """Check that every term has gradients, which are finite, and that they reach all parameters."""
    inputs = [tensor for view in (outcome.tensors, *outcome.views.values()) for tensor in view.values()]
    leaves = [one for one in (*inputs, *loss.parameters()) if one.requires_grad]
    for name, term in loss(outcome).items():
        expect(
            term.requires_grad, f"{who}: the term {name!r} carries no gradient. Remove detach() or no_grad()."
        )
        grads = torch.autograd.grad(term.sum(), leaves, allow_unused=True, retain_graph=True)
        reached = [grad for grad in grads if grad is not None]
        finite = all(bool(grad.isfinite().all()) for grad in reached)
        expect(finite, f"{who}: a gradient of the term {name!r} is not finite.")
        expect(any(bool(grad.any()) for grad in reached), f"{who}: all gradients of {name!r} are zero.")
    loss.zero_grad()
    torch.stack([term.sum() for term in loss(outcome).values()]).sum().backward()  # type: ignore[no-untyped-call]
    expect_gradients(loss, who)


def _check_batch(part: LossPart, loss: nn.Module, outcome: Outcome, axes: Mapping[str, str]) -> None:
    """Check the terms of the queries in another order, of all queries twice, and of each query alone."""
    who, rows = f"loss {part.use!r}", list(range(len(outcome.batch.audio)))
    for row in rows:
        _terms(loss, rows_of_outcome(outcome, axes, [row]), f"{who} (a batch of one query)")
    if part.compares_queries:
        return
    declare = "A loss that compares queries with each other sets `compares_queries = True`."
    terms = _terms(loss, outcome, who)
    other = _terms(loss, rows_of_outcome(outcome, axes, ORDER), who)
    _expect_same(terms, other, f"{who}: the order of the queries", f"Treat all alike. {declare}")
    twice = _terms(loss, rows_of_outcome(outcome, axes, [*rows, *rows]), who)
    for name, term in terms.items():
        kept, doubled = (_close(factor * term, twice[name], WITHIN) for factor in (1, 2))
        expect(
            kept or doubled,
            f"{who}: all queries twice in a batch neither keep nor double the term {name!r}: it is "
            f"{twice[name].tolist()} instead of {term.tolist()}. Take a mean or a sum over queries, spans or "
            f"frames. {declare}",
        )


def _check_repetition(part: LossPart, loss: nn.Module, outcome: Outcome, who: str) -> None:
    """Check that options and weights alone decide the numbers."""
    terms = _terms(loss, outcome, who)
    other = part.build(replace(CONTEXT, seed=1)).eval()
    other.load_state_dict(loss.state_dict())
    cause = f"{who}: saving and loading its weights"
    _expect_same(terms, _terms(other, outcome, who), cause, "Keep what is drawn in parameters and buffers.")
    trained = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            trained.append(_terms(other.train(), outcome, who))
    cause = f"{who}: in training mode, calling it again with the same random state"
    _expect_same(trained[0], trained[1], cause, "Keep no state; outcome.step is the step.", within=0)


def _expect_same(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], cause: str, remedy: str, *, within: float = WITHIN
) -> None:
    expect(one.keys() == other.keys(), f"{cause} changes which terms there are: {sorted(other)}.")
    for name, term in one.items():
        expect(
            _close(term, other[name], within),
            f"{cause} changes the term {name!r}: it is {other[name].tolist()} instead of {term.tolist()}. "
            f"{remedy}",
        )


def _close(one: Tensor, other: Tensor, within: float) -> bool:
    gap = (one - other).abs() / one.abs().clamp(min=1) if one.shape == other.shape else None
    return gap is not None and bool((gap <= within).all())
