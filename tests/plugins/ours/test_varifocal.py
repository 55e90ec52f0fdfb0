"""Varifocal loss and IoU loss equal the recorded ones and their plain twins."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.functional.matched_pairs import log_odds
from amrbench.registry import Registry
from amrbench.slots.blocks import Decoded
from amrbench.testing import check_part
from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins import cgdetr, moment_detr
from amrbench_plugins.cgdetr.matching import HungarianMatcher
from amrbench_plugins.cgdetr.span_losses import Foreground
from amrbench_plugins.ours.iou_l1 import IouL1
from amrbench_plugins.ours.task_aligned import ConfidenceHead
from amrbench_plugins.ours.varifocal import Varifocal, VarifocalLoss, qualities

GOLDEN = json.loads((Path(__file__).parents[2] / "data/components/varifocal.json").read_text())
CONTEXT = BuildContext(FeatureWidths(12, 10))


def loss_of(**options: Any) -> VarifocalLoss:
    return cast("VarifocalLoss", Varifocal(**options).build(CONTEXT))


def truth(spans: list[list[list[float]]]) -> Target:
    """Targets with these spans; nothing else of them is read."""
    most = max(map(len, spans))
    padded = [[*each, *[[0.0, 0.0]] * (most - len(each))] for each in spans]
    mask = [[True] * len(each) + [False] * (most - len(each)) for each in spans]
    nothing = torch.zeros(len(spans), 1)
    return Target(torch.tensor(padded), torch.tensor(mask), nothing > 0, nothing.long(), nothing.long())


def outcome(tensors: dict[str, Tensor], target: Target, matched: Tensor) -> Outcome:
    return Outcome(cast("Batch", None), target, tensors, {}, matched)


def recorded() -> Outcome:
    """The recorded case of RT-DETR as one decoder layer."""
    case = GOLDEN["rtdetr"]
    target = truth(case["gt_spans_cxw"])
    matched = torch.full(target.spans_mask.shape, -1)
    for row, pairs in enumerate(case["matches_pred_to_gt"]):
        for query, window in pairs:
            matched[row, window] = query
    logits = torch.tensor(case["logits"])[None, ..., None].requires_grad_()
    spans = torch.tensor(case["pred_spans_cxw"])[None].requires_grad_()
    return outcome({"logits": logits, "iou_logits": logits, "spans": spans}, target, matched[None])


def drawn(
    queries: int = 7, windows: tuple[int, ...] = (2, 1, 3), *, layers: int = 2, seed: int = 0
) -> Outcome:
    """A made-up outcome whose matches come from the matcher."""
    generator = torch.Generator().manual_seed(seed)
    spans = torch.rand(layers, len(windows), queries, 2, generator=generator) * 0.4 + 0.2
    logits = torch.randn(layers, len(windows), queries, 1, generator=generator)
    target = truth([(torch.rand(count, 2, generator=generator) * 0.4 + 0.2).tolist() for count in windows])
    tensors = {"spans": spans, "scores": logits[..., 0].sigmoid()}
    matched = HungarianMatcher(span=10, giou=1, score=4)(tensors, target)
    leaves = {name: each.requires_grad_() for name, each in {"spans": spans, "logits": logits}.items()}
    return outcome({**leaves, "iou_logits": logits}, target, matched)


def overlap(a: list[float], b: list[float]) -> float:
    """IoU of two spans, one number at a time."""
    (low_a, high_a), (low_b, high_b) = ((c - w / 2, c + w / 2) for c, w in (a, b))
    met = max(0.0, min(high_a, high_b) - max(low_a, low_b))
    return met / (high_a - low_a + high_b - low_b - met)


def by_hand(found: Outcome, *, alpha: float, gamma: float, form: str) -> list[float]:
    """Sum over queries for each layer, one query at a time."""
    sums = []
    for layer, matched in enumerate(found.matched.tolist()):
        total = 0.0
        for row, queries in enumerate(matched):
            partner = {query: window for window, query in enumerate(queries) if query >= 0}
            for query, x in enumerate(found.tensors["logits"][layer, row, :, 0].tolist()):
                q = 0.0
                if query in partner:
                    span = found.tensors["spans"][layer, row, query].tolist()
                    q = overlap(span, found.target.spans[row, partner[query]].tolist())
                p = 1 / (1 + math.exp(-x))
                entropy = -(q * math.log(p) + (1 - q) * math.log(1 - p))
                positive = q > 0 if form == "through" else query in partner
                total += (q if positive else alpha * p**gamma) * entropy
        sums.append(total)
    return sums


# ---------------------------------------------------------------- varifocal


def test_values_and_gradients_equal_the_recorded_ones_of_varifocalnet():
    quality = torch.tensor(GOLDEN["targets"], dtype=torch.float64)
    odds = torch.tensor(GOLDEN["logits"], dtype=torch.float64, requires_grad=True)
    found = loss_of().of_queries(odds, quality, quality > 0)
    assert_close(found, torch.tensor(GOLDEN["vfnet_elementwise"], dtype=torch.float64), rtol=1e-10, atol=0)
    found.sum().backward()
    wanted = torch.tensor(GOLDEN["vfnet_grad_of_sum"], dtype=torch.float64)
    assert_close(odds.grad, wanted, rtol=1e-10, atol=1e-12)
    other = loss_of(alpha=0.5, gamma=1.5).of_queries(odds, quality, quality > 0)
    assert other.sum().item() == pytest.approx(GOLDEN["vfnet_alpha0.5_gamma1.5_sum"], rel=1e-10)
    assert found.sum().item() / 5 == pytest.approx(GOLDEN["vfnet_avg_factor_npos5"], rel=1e-10)


def test_the_detached_form_equals_the_recorded_one_of_rt_detr():
    case, found = GOLDEN["rtdetr"], recorded()
    kept = found.matched >= 0
    queries = qualities(found, 4)[0]
    told = queries.gather(1, found.matched[0].clamp(min=0))[kept[0]]
    wanted = [case["matched_iou"][at] for at in (1, 0, 2)]
    assert told.tolist() == pytest.approx(wanted, rel=1e-5), "recorded by prediction, here by window"
    term = loss_of(form="detached", weight=1).forward(found)["varifocal"]
    assert term.item() == pytest.approx(case["loss"], rel=1e-5)
    term.sum().backward()
    grad = found.tensors["logits"].grad
    assert_close(grad[0, ..., 0], torch.tensor(case["grad_logits"]), rtol=1e-5, atol=1e-7)
    assert found.tensors["spans"].grad is None, "the target carries no gradient to the spans"


@pytest.mark.parametrize("form", ["through", "detached"])
@pytest.mark.parametrize("seed", range(3))
def test_terms_equal_the_slow_twin(form, seed):
    found = drawn(seed=seed)
    sums = by_hand(found, alpha=0.6, gamma=1.5, form=form)
    term = loss_of(form=form, alpha=0.6, gamma=1.5, weight=3)(found)["varifocal"]
    assert term.tolist() == pytest.approx([3 * each / 6 for each in sums], rel=1e-5)
    term = loss_of(form=form, alpha=0.6, gamma=1.5, weight=3, normaliser="all")(found)["varifocal"]
    assert term.tolist() == pytest.approx([3 * each / 21 for each in sums], rel=1e-5)


def test_gradients_of_negatives_and_positives_are_those_of_the_formula():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    p, nothing = x.sigmoid(), torch.zeros(13, dtype=torch.float64)
    wanted = {
        "through": 0.75 * (p**3 - 2 * p**2 * (1 - p) * (1 - p).log()),
        "detached": 0.75 * p**3,
    }
    for form, gradient in wanted.items():
        odds = x.clone().requires_grad_()
        loss_of(form=form).of_queries(odds, nothing, nothing > 0).sum().backward()
        assert_close(odds.grad, gradient)
        odds, q = x.clone().requires_grad_(), nothing + 0.3
        loss_of(form=form).of_queries(odds, q, q > 0).sum().backward()
        assert_close(odds.grad, 0.3 * (p - 0.3))


def test_a_match_without_overlap_is_a_negative_in_one_form_and_silent_in_the_other():
    spans = torch.tensor([[[[0.1, 0.1], [0.5, 0.1]]]])
    logits = torch.tensor([[[[1.0], [-8.0]]]], requires_grad=True)
    found = outcome(
        {"spans": spans, "logits": logits}, truth([[[0.9, 0.1]]]), torch.zeros(1, 1, 1, dtype=torch.long)
    )
    for form, moves in (("through", True), ("detached", False)):
        (grad,) = torch.autograd.grad(loss_of(form=form)(found)["varifocal"].sum(), [logits])
        assert bool(grad[0, 0, 0, 0] != 0) is moves


def test_a_certain_match_costs_its_cross_entropy_and_none_a_focal_loss():
    x = torch.linspace(-4, 4, 9)
    ones, zeros = torch.ones(9), torch.zeros(9)
    entropy = torch.nn.functional.softplus
    assert_close(loss_of(gamma=3.3).of_queries(x, ones, ones > 0), entropy(-x))
    assert_close(loss_of().of_queries(x, zeros, zeros > 0), 0.75 * x.sigmoid() ** 2 * entropy(x))


def test_the_best_score_is_the_overlap():
    for q in (0.1, 0.5, 0.93):
        p = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
        loss = loss_of().of_queries(p.logit(), torch.full_like(p, q), p > 0)
        assert p[loss.argmin()].item() == pytest.approx(q, abs=1e-9)


def test_twice_the_batch_is_the_same_loss():
    found = drawn()
    target = found.target
    twice = Target(
        target.spans.repeat(2, 1, 1), target.spans_mask.repeat(2, 1), target.relevant, target.positives,
        target.negatives,
    )  # fmt: skip
    double = outcome(
        {name: each.repeat(1, 2, 1, 1) for name, each in found.tensors.items()},
        twice,
        found.matched.repeat(1, 2, 1),
    )
    for loss in (loss_of(), loss_of(normaliser="all"), IouL1().build(CONTEXT)):
        for name, term in loss(found).items():
            assert_close(loss(double)[name], term)


def test_queries_of_a_sample_without_matches_are_negatives():
    found = drawn()
    none = replace(found, matched=torch.full_like(found.matched, -1))
    zeros = torch.zeros(found.matched.shape[0], 3, 7)
    odds = found.tensors["logits"][..., 0]
    wanted = 4 * loss_of().of_queries(odds, zeros, zeros > 0).sum((1, 2))
    assert_close(loss_of()(none)["varifocal"], wanted)


@pytest.mark.parametrize(
    ("span", "other", "wanted"),
    [
        ([0.2, 0.2], [0.8, 0.2], 0.0),
        ([0.4, 0.2], [0.4, 0.2], 1.0),
        ([0.5, 0.1], [0.5, 0.4], 0.25),
        ([0.25, 0.5], [0.75, 0.5], 0.0),
        ([0.0, 0.4], [0.1, 0.2], 0.5),
    ],
    ids=["apart", "equal", "nested", "touching", "over the edge, which is not cut"],
)
def test_the_quality_is_the_overlap(span, other, wanted):
    spans = torch.tensor([[[span]]])
    found = outcome({"spans": spans}, truth([[other]]), torch.zeros(1, 1, 1, dtype=torch.long))
    assert qualities(found, 1).item() == pytest.approx(wanted, abs=1e-6)


def test_two_logits_count_by_their_difference():
    found = drawn()
    pair = torch.cat([found.tensors["logits"] + 0.7, torch.full_like(found.tensors["logits"], 0.7)], -1)
    two = replace(found, tensors={**found.tensors, "logits": pair})
    assert_close(log_odds(pair), found.tensors["logits"][..., 0])
    assert_close(loss_of()(two), loss_of()(found))


def test_cross_entropy_takes_one_logit_too():
    found = drawn()
    one = found.tensors["logits"]
    two = replace(found, tensors={"logits": torch.cat([one / 2, -one / 2], -1)})
    loss = Foreground().build(CONTEXT)
    assert_close(loss(found), loss(two))


# ---------------------------------------------------------------- IoU


def test_the_iou_loss_equals_the_slow_twin():
    found, wanted = drawn(), []
    for layer, matched in enumerate(found.matched.tolist()):
        misses = []
        for row, queries in enumerate(matched):
            for window, query in enumerate(queries):
                if query >= 0:
                    told = 1 / (1 + math.exp(-found.tensors["iou_logits"][layer, row, query, 0].item()))
                    span = found.tensors["spans"][layer, row, query].tolist()
                    misses.append(abs(told - overlap(span, found.target.spans[row, window].tolist())))
        assert len(misses) == 6
        wanted.append(2 * sum(misses) / 6)
    assert IouL1(weight=2).build(CONTEXT)(found)["iou-l1"].tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("flag", [False, True])
def test_the_iou_loss_moves_spans_only_when_told_to(flag):
    found = drawn()
    IouL1(target_gradient=flag).build(CONTEXT)(found)["iou-l1"].sum().backward()
    assert found.tensors["iou_logits"].grad.any()
    moved = found.tensors["spans"].grad
    assert bool(moved is not None and moved.any()) is flag


# ---------------------------------------------------------------- matching


def test_matching_with_one_logit_is_the_cheapest_of_all_assignments():
    found = drawn(4, (3, 1, 2), layers=1)
    spans, scores = found.tensors["spans"][0], found.tensors["logits"][0, ..., 0].sigmoid()
    matcher = HungarianMatcher(span=10, giou=1, score=4)
    costs = matcher.cost({"spans": spans[None], "scores": scores[None]}, found.target)[0]
    for row, count in enumerate((3, 1, 2)):
        ways = itertools.permutations(range(4), count)
        best = min(ways, key=lambda way: sum(costs[row, q, w].item() for w, q in enumerate(way)))
        assert found.matched[0, row, :count].tolist() == list(best)


def test_the_matchers_cost_of_one_logit_is_the_recorded_one():
    head = ConfidenceHead(1).double()
    torch.nn.init.ones_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    logits = torch.tensor(GOLDEN["logits"][0], dtype=torch.float64)
    anchors = torch.full((1, 1, 6, 2), 0.5, dtype=torch.float64)
    scores = head.of_queries(Decoded(logits.view(1, 1, 6, 1), anchors))["scores"]
    matcher = HungarianMatcher(span=0, giou=0, score=1)
    cost = matcher.cost({"spans": anchors, "scores": scores}, truth([[[0.4, 0.2]]]))
    assert cost[0, 0, :, 0].tolist() == pytest.approx(GOLDEN["prob_class_cost_row0"], rel=1e-6)


def test_the_loss_keeps_the_contract_with_two_logits_too():
    registry = Registry.of(*moment_detr.amrbench_parts(), *cgdetr.amrbench_parts(), Varifocal)
    check_part(Varifocal(), registry)
