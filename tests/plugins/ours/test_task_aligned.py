"""Prediction heads that share what they read, and ones that do not."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from amrbench.spans import inverse_sigmoid
from amrbench_plugins.moment_detr.slots import Decoded
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

NEAR = {"atol": 1e-6, "rtol": 0.0}
APART = ["spans", "confidence", "iou", "saliency"]


@pytest.fixture
def decoded():
    generator = torch.Generator().manual_seed(0)
    anchors = 0.1 + 0.8 * torch.rand(3, 2, 4, 2, generator=generator)
    return Decoded(torch.randn(3, 2, 4, 8, generator=generator), anchors)


def head(use="task-aligned", **options):
    return small.built("head", use, **options)


def test_all_layers_get_all_predictions(decoded):
    found = head().of_queries(decoded)
    assert {name: tuple(each.shape) for name, each in found.items()} == {
        "spans": (3, 2, 4, 2),
        "logits": (3, 2, 4, 1),
        "iou_logits": (3, 2, 4, 1),
        "scores": (3, 2, 4),
    }
    assert set(found) == small.part("head", "task-aligned").provides


def test_predictions_equal_one_query_at_a_time(decoded):
    module = small.stirred(head())
    found, (first, second) = module.of_queries(decoded), module.trunk.linears
    for place in [(0, 0, 0), (2, 1, 3)]:
        shared = second(first(decoded.hidden[place]).relu()).relu()
        span = (module.span(shared) + inverse_sigmoid(decoded.anchors[place])).sigmoid()
        assert_close(found["spans"][place], span, **NEAR)
        assert_close(found["logits"][place], module.of_class(shared), **NEAR)
        assert_close(found["iou_logits"][place], module.iou(shared), **NEAR)
        assert_close(found["scores"][place], module.of_class(shared).sigmoid()[0], **NEAR)


def test_the_first_predictions_are_the_anchors(decoded):
    found = head().of_queries(decoded)
    assert_close(found["spans"], decoded.anchors, **NEAR)


@pytest.mark.parametrize("use", ["task-aligned", "confidence"])
def test_the_first_scores_are_low(decoded, use):
    quiet = Decoded(torch.zeros_like(decoded.hidden), decoded.anchors)
    module = head(use)
    for name, each in module.named_parameters():
        if name.startswith("trunk") and name.endswith("bias"):
            torch.nn.init.zeros_(each)
    assert_close(module.of_queries(quiet)["scores"], torch.full((3, 2, 4), 0.01), **NEAR)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_scores_may_weigh_the_predicted_iou(decoded, share):
    found = small.stirred(head(iou_share=share)).of_queries(decoded)
    of_class, iou = (found[name].sigmoid()[..., 0] for name in ("logits", "iou_logits"))
    assert_close(found["scores"], of_class ** (1 - share) * iou**share, **NEAR)


def gradients(heads, name):
    model = small.model(heads=heads)
    small.stirred(model.heads, 0.1)
    prediction = model.decode(model.encode(batch()))
    prediction.tensors[name].pow(2).sum().backward()
    return {key for key, each in model.heads.named_parameters() if each.grad is not None and each.grad.any()}


def test_the_iou_teaches_what_the_span_reads():
    reached = gradients(["task-aligned", "saliency"], "iou_logits")
    trunk = {f"task-aligned.trunk.linears.{index}.{kind}" for index in (0, 1) for kind in ("weight", "bias")}
    assert trunk <= reached
    assert not [name for name in reached if ".span." in name or ".of_class." in name]


def test_heads_apart_teach_themselves_alone():
    for name, owner in (("iou_logits", "iou"), ("logits", "confidence"), ("spans", "spans")):
        reached = gradients(APART, name)
        assert reached
        assert {each.split(".")[0] for each in reached} == {owner}


def test_the_span_head_apart_is_that_of_the_baseline():
    one, other = (small.model(heads=heads) for heads in (APART, ["spans", "foreground", "saliency"]))
    with torch.no_grad():
        spans = [model.decode(model.encode(batch())).spans for model in (one, other)]
    assert spans[0].equal(spans[1])


def test_every_weight_learns(decoded):
    module = small.stirred(head(iou_share=0.5), 0.2)
    found = module.of_queries(decoded)
    (found["spans"].pow(2).sum() + found["scores"].sum()).backward()
    assert small.without_gradient(module) == []


def test_anchors_at_the_border_are_finite():
    decoded = Decoded(torch.randn(1, 1, 2, 8), torch.tensor([[[[0.5, 1e-9], [1.0, 0.5]]]]))
    found = small.stirred(head()).of_queries(decoded)
    assert bool(found["spans"].isfinite().all())


def test_half_precision_is_finite(decoded):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = small.stirred(head(iou_share=0.3)).of_queries(decoded)
    assert all(bool(each.isfinite().all()) for each in found.values())
