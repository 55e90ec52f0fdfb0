from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from amrbench.functional.spans import giou, inverse_sigmoid, iou, to_windows
from tests.folders import DATA
from tests.oracle import cgdetr_layers, cgdetr_loss

GOLDEN = json.loads((DATA / "cgdetr" / "targets.json").read_text())["functions"]
A, B = torch.tensor(GOLDEN["cxw_a"]), torch.tensor(GOLDEN["cxw_b"])

centre = st.floats(0, 1, width=32)
span = st.tuples(centre, st.floats(0.0009765625, 1, width=32))


def plain_iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    (s, e), (t, f) = ((c - w / 2, c + w / 2) for c, w in (a, b))
    overlap = max(0.0, min(e, f) - max(s, t))
    return overlap / (a[1] + b[1] - overlap)


def plain_giou(a: tuple[float, float], b: tuple[float, float]) -> float:
    (s, e), (t, f) = ((c - w / 2, c + w / 2) for c, w in (a, b))
    union = a[1] + b[1] - max(0.0, min(e, f) - max(s, t))
    hull = max(e, f) - min(s, t)
    return plain_iou(a, b) - (hull - union) / hull


def test_iou_equals_the_reference() -> None:
    assert_close(iou(A[:, None], B), torch.tensor(GOLDEN["iou"]), rtol=0, atol=1e-6)


def test_giou_equals_the_reference() -> None:
    assert_close(giou(A[:, None], B), torch.tensor(GOLDEN["giou"]), rtol=0, atol=1e-6)


def test_inverse_sigmoid_equals_the_reference() -> None:
    logits = inverse_sigmoid(torch.tensor(GOLDEN["inverse_sigmoid"]["x"]))
    assert_close(logits, torch.tensor(GOLDEN["inverse_sigmoid"]["y"]), rtol=0, atol=1e-6)


def test_inverse_sigmoid_is_the_logit_within_its_limits() -> None:
    x = torch.linspace(0.002, 0.998, 50)
    assert_close(inverse_sigmoid(x).sigmoid(), x)
    assert inverse_sigmoid(torch.tensor(1e-4), eps=1e-5).item() < inverse_sigmoid(torch.tensor(1e-4)).item()


@given(span, span)
def test_iou_and_giou_equal_the_plain_formula(a: tuple[float, float], b: tuple[float, float]) -> None:
    x, y = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    assert_close(iou(x, y).item(), plain_iou(a, b), rtol=0, atol=1e-9)
    assert_close(giou(x, y).item(), plain_giou(a, b), rtol=0, atol=1e-9)


def test_giou_and_inverse_sigmoid_equal_the_oracle() -> None:
    spans = torch.rand(7, 2, generator=torch.Generator().manual_seed(0)) + 0.01
    assert_close(giou(spans[:, None], spans), cgdetr_loss.giou(spans[:, None], spans))
    assert_close(inverse_sigmoid(spans), cgdetr_layers.inverse_sigmoid(spans))


def test_two_equal_points_have_no_overlap_and_a_finite_gradient() -> None:
    points = torch.tensor([[0.3, 0.0], [0.3, 0.0]], requires_grad=True)
    value = giou(points[0], points[1])
    value.backward()
    assert value.item() == 0
    assert iou(points[0], points[1]).item() == 0
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_very_short_spans_overlap_as_long_ones_do() -> None:
    one, other = torch.tensor([0.5, 2e-5]), torch.tensor([0.5, 1e-5])
    assert [iou(one, one).item(), iou(one, other).item()] == pytest.approx([1, 0.5], rel=1e-2)


@given(span)
def test_a_window_has_the_centre_and_the_width_of_its_span(given_span: tuple[float, float]) -> None:
    start, end = to_windows(torch.tensor(given_span, dtype=torch.float64)).tolist()
    assert ((start + end) / 2, end - start) == pytest.approx(given_span)


def test_a_window_reaches_half_a_width_both_ways() -> None:
    assert_close(to_windows(torch.tensor([0.5, 0.2])), torch.tensor([0.4, 0.6]))
