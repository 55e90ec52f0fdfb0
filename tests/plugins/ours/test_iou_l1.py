"""The L1 loss of the predicted IoU equals its plain twin."""

from __future__ import annotations

import math

import pytest

from amrbench_plugins.ours.training_parts import IouL1
from tests.plugins.ours.outcomes import CONTEXT, drawn, overlap


def test_the_iou_loss_equals_the_slow_twin():
    outcome, expected = drawn(), []
    for layer, matched in enumerate(outcome.matched.tolist()):
        errors = []
        for row, queries in enumerate(matched):
            for window, query in enumerate(queries):
                if query >= 0:
                    logit = outcome.tensors["iou_logits"][layer, row, query, 0].item()
                    span = outcome.tensors["spans"][layer, row, query].tolist()
                    true = overlap(span, outcome.target.spans[row, window].tolist())
                    errors.append(abs(1 / (1 + math.exp(-logit)) - true))
        assert len(errors) == 6
        expected.append(2 * sum(errors) / 6)
    assert IouL1(weight=2).build(CONTEXT)(outcome)["iou-l1"].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_iou_loss_has_no_gradient_for_spans():
    outcome = drawn()
    IouL1().build(CONTEXT)(outcome)["iou-l1"].sum().backward()
    assert outcome.tensors["iou_logits"].grad.any()
    assert outcome.tensors["spans"].grad is None
