"""The varifocal loss equals the recorded one and its plain twin."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch.testing import assert_close

from amrbench.functional.matched_pairs import log_odds
from amrbench.registry import Registry
from amrbench.testing import check_part
from amrbench.types import Outcome, Target
from amrbench_plugins import cgdetr, moment_detr
from amrbench_plugins.cgdetr.matcher import HungarianMatcher
from amrbench_plugins.cgdetr.parts import Foreground
from amrbench_plugins.ours.task_aligned import probability
from amrbench_plugins.ours.training_parts import IouL1, Varifocal
from amrbench_plugins.ours.varifocal import VarifocalLoss, qualities
from tests.plugins.ours.outcomes import CONTEXT, drawn, outcome_of, overlap, truth
from tests.plugins.ours.small import golden

GOLDEN = golden("varifocal")


def loss_of(**options: Any) -> VarifocalLoss:
    return cast("VarifocalLoss", Varifocal(**options).build(CONTEXT))


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
    return outcome_of({"logits": logits, "iou_logits": logits, "spans": spans}, target, matched[None])


def by_hand(outcome: Outcome, *, alpha: float, gamma: float, form: str) -> list[float]:
    """Sum over queries for each layer, one query at a time."""
    sums = []
    for layer, matched in enumerate(outcome.matched.tolist()):
        total = 0.0
        for row, queries in enumerate(matched):
            partner = {query: window for window, query in enumerate(queries) if query >= 0}
            for query, x in enumerate(outcome.tensors["logits"][layer, row, :, 0].tolist()):
                q = 0.0
                if query in partner:
                    span = outcome.tensors["spans"][layer, row, query].tolist()
                    q = overlap(span, outcome.target.spans[row, partner[query]].tolist())
                p = 1 / (1 + math.exp(-x))
                entropy = -(q * math.log(p) + (1 - q) * math.log(1 - p))
                positive = q > 0 if form == "through" else query in partner
                total += (q if positive else alpha * p**gamma) * entropy
        sums.append(total)
    return sums


def test_values_and_gradients_equal_the_recorded_ones_of_varifocalnet():
    quality = torch.tensor(GOLDEN["targets"], dtype=torch.float64)
    odds = torch.tensor(GOLDEN["logits"], dtype=torch.float64, requires_grad=True)
    losses = loss_of().of_queries(odds, quality, quality > 0)
    assert_close(losses, torch.tensor(GOLDEN["vfnet_elementwise"], dtype=torch.float64), rtol=1e-10, atol=0)
    losses.sum().backward()
    gradient = torch.tensor(GOLDEN["vfnet_grad_of_sum"], dtype=torch.float64)
    assert_close(odds.grad, gradient, rtol=1e-10, atol=1e-12)
    other = loss_of(alpha=0.5, gamma=1.5).of_queries(odds, quality, quality > 0)
    assert other.sum().item() == pytest.approx(GOLDEN["vfnet_alpha0.5_gamma1.5_sum"], rel=1e-10)
    assert losses.sum().item() / 5 == pytest.approx(GOLDEN["vfnet_avg_factor_npos5"], rel=1e-10)


def test_the_detached_form_equals_the_recorded_one_of_rt_detr():
    case, outcome = GOLDEN["rtdetr"], recorded()
    kept = outcome.matched >= 0
    queries = qualities(outcome, 4)[0]
    of_windows = queries.gather(1, outcome.matched[0].clamp(min=0))[kept[0]]
    expected = [case["matched_iou"][index] for index in (1, 0, 2)]
    assert of_windows.tolist() == pytest.approx(expected, rel=1e-5), "recorded by prediction, here by window"
    term = loss_of(form="detached", weight=1).forward(outcome)["varifocal"]
    assert term.item() == pytest.approx(case["loss"], rel=1e-5)
    term.sum().backward()
    grad = outcome.tensors["logits"].grad
    assert_close(grad[0, ..., 0], torch.tensor(case["grad_logits"]), rtol=1e-5, atol=1e-7)
    assert outcome.tensors["spans"].grad is None, "the target carries no gradient to the spans"


@pytest.mark.parametrize("form", ["through", "detached"])
@pytest.mark.parametrize("seed", range(3))
def test_terms_equal_the_slow_twin(form, seed):
    outcome = drawn(seed=seed)
    sums = by_hand(outcome, alpha=0.6, gamma=1.5, form=form)
    term = loss_of(form=form, alpha=0.6, gamma=1.5, weight=3)(outcome)["varifocal"]
    assert term.tolist() == pytest.approx([3 * total / 6 for total in sums], rel=1e-5)


def test_gradients_of_negatives_and_positives_are_those_of_the_formula():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    p, zeros = x.sigmoid(), torch.zeros(13, dtype=torch.float64)
    gradients = {
        "through": 0.75 * (p**3 - 2 * p**2 * (1 - p) * (1 - p).log()),
        "detached": 0.75 * p**3,
    }
    for form, gradient in gradients.items():
        odds = x.clone().requires_grad_()
        loss_of(form=form).of_queries(odds, zeros, zeros > 0).sum().backward()
        assert_close(odds.grad, gradient)
        odds, q = x.clone().requires_grad_(), zeros + 0.3
        loss_of(form=form).of_queries(odds, q, q > 0).sum().backward()
        assert_close(odds.grad, 0.3 * (p - 0.3))


def test_a_match_without_overlap_has_a_gradient_in_one_form_only():
    spans = torch.tensor([[[[0.1, 0.1], [0.5, 0.1]]]])
    logits = torch.tensor([[[[1.0], [-8.0]]]], requires_grad=True)
    matched = outcome_of(
        {"spans": spans, "logits": logits}, truth([[[0.9, 0.1]]]), torch.zeros(1, 1, 1, dtype=torch.long)
    )
    for form, moves in (("through", True), ("detached", False)):
        (grad,) = torch.autograd.grad(loss_of(form=form)(matched)["varifocal"].sum(), [logits])
        assert bool(grad[0, 0, 0, 0] != 0) is moves


def test_a_perfect_match_has_a_cross_entropy_and_a_negative_a_focal_loss():
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
    single = drawn()
    target = single.target
    twice = Target(
        target.spans.repeat(2, 1, 1), target.spans_mask.repeat(2, 1), target.relevant, target.positives,
        target.negatives,
    )  # fmt: skip
    double = outcome_of(
        {name: tensor.repeat(1, 2, 1, 1) for name, tensor in single.tensors.items()},
        twice,
        single.matched.repeat(1, 2, 1),
    )
    for loss in (loss_of(), IouL1().build(CONTEXT)):
        for name, term in loss(single).items():
            assert_close(loss(double)[name], term)


def test_queries_of_a_sample_without_matches_are_negatives():
    outcome = drawn()
    unmatched = replace(outcome, matched=torch.full_like(outcome.matched, -1))
    zeros = torch.zeros(outcome.matched.shape[0], 3, 7)
    odds = outcome.tensors["logits"][..., 0]
    expected = 4 * loss_of().of_queries(odds, zeros, zeros > 0).sum((1, 2))
    assert_close(loss_of()(unmatched)["varifocal"], expected)


@pytest.mark.parametrize(
    ("span", "other", "expected"),
    [
        ([0.2, 0.2], [0.8, 0.2], 0.0),
        ([0.4, 0.2], [0.4, 0.2], 1.0),
        ([0.5, 0.1], [0.5, 0.4], 0.25),
        ([0.25, 0.5], [0.75, 0.5], 0.0),
        ([0.0, 0.4], [0.1, 0.2], 0.5),
    ],
    ids=["apart", "equal", "nested", "touching", "over the edge, which is not cut"],
)
def test_the_quality_is_the_overlap(span, other, expected):
    spans = torch.tensor([[[span]]])
    matched = outcome_of({"spans": spans}, truth([[other]]), torch.zeros(1, 1, 1, dtype=torch.long))
    assert qualities(matched, 1).item() == pytest.approx(expected, abs=1e-6)


def test_two_logits_count_by_their_difference():
    one = drawn()
    pair = torch.cat([one.tensors["logits"] + 0.7, torch.full_like(one.tensors["logits"], 0.7)], -1)
    two = replace(one, tensors={**one.tensors, "logits": pair})
    assert_close(log_odds(pair), one.tensors["logits"][..., 0])
    assert_close(loss_of()(two), loss_of()(one))


@pytest.mark.parametrize("part", [Varifocal(), IouL1()], ids=lambda part: part.use)
def test_logits_in_half_precision_count_in_float32(part):
    one, loss = drawn(), part.build(CONTEXT)
    logits = one.tensors["logits"].bfloat16()
    half, full = (
        replace(one, tensors={**one.tensors, "logits": given, "iou_logits": given})
        for given in (logits, logits.float())
    )
    (name,) = loss(full)
    assert loss(half)[name].tolist() == loss(full)[name].tolist()


def test_cross_entropy_takes_one_logit_too():
    one = drawn()
    logit = one.tensors["logits"]
    two = replace(one, tensors={"logits": torch.cat([logit / 2, -logit / 2], -1)})
    loss = Foreground().build(CONTEXT)
    assert_close(loss(one), loss(two))


# ---------------------------------------------------------------- matching


def test_matching_with_one_logit_is_the_cheapest_of_all_assignments():
    outcome = drawn(4, (3, 1, 2), layers=1)
    spans, scores = outcome.tensors["spans"][0], outcome.tensors["logits"][0, ..., 0].sigmoid()
    matcher = HungarianMatcher(span=10, giou=1, score=4)
    costs = matcher.cost({"spans": spans[None], "scores": scores[None]}, outcome.target)[0]
    for row, count in enumerate((3, 1, 2)):
        assignments = itertools.permutations(range(4), count)
        best = min(
            assignments, key=lambda queries: sum(costs[row, q, w].item() for w, q in enumerate(queries))
        )
        assert outcome.matched[0, row, :count].tolist() == list(best)


def test_the_matchers_cost_of_one_logit_is_the_recorded_one():
    logits = torch.tensor(GOLDEN["logits"][0], dtype=torch.float64)
    anchors = torch.full((1, 1, 6, 2), 0.5, dtype=torch.float64)
    scores = probability(logits.view(1, 1, 6, 1))
    matcher = HungarianMatcher(span=0, giou=0, score=1)
    cost = matcher.cost({"spans": anchors, "scores": scores}, truth([[[0.4, 0.2]]]))
    assert cost[0, 0, :, 0].tolist() == pytest.approx(GOLDEN["prob_class_cost_row0"], rel=1e-6)


def test_the_loss_keeps_the_contract_with_two_logits_too():
    registry = Registry.of(*moment_detr.amrbench_parts(), *cgdetr.amrbench_parts(), Varifocal)
    check_part(Varifocal(), registry)
