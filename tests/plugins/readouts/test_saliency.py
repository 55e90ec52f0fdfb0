import pytest
import torch

from amrbench_plugins.readouts.saliency import proposals_of, shares_of_maximum
from tests.plugins.readouts.frames import drawn, outputs_of, shares_by_hand


def test_shares_are_probabilities_divided_by_their_maximum():
    curves = drawn(0)
    outputs = outputs_of(*curves)
    shares = shares_of_maximum(outputs.tensors["saliency"], outputs.mask)
    for row, curve in zip(shares, curves, strict=True):
        assert row[: len(curve)].tolist() == pytest.approx(shares_by_hand(curve), abs=1e-6)
        assert not row[len(curve) :].any()
        assert row.max() == 1


@pytest.mark.parametrize("level", [-300.0, 300.0])
def test_extreme_saliency_stays_finite(level):
    outputs = outputs_of([level, level - 1, level], [level])
    shares = shares_of_maximum(outputs.tensors["saliency"], outputs.mask)
    assert shares.isfinite().all()
    assert shares[0, 0] == 1


def test_half_precision_is_read_as_float32():
    outputs = outputs_of([0.0, 1.0])
    shares = shares_of_maximum(outputs.tensors["saliency"].bfloat16(), outputs.mask)
    assert shares.dtype == torch.float32


def test_the_best_segments_become_spans_of_the_real_frames():
    mask = torch.tensor([[True] * 10, [True] * 5 + [False] * 5])
    starts, ends = torch.tensor([[0, 4, 8], [1, 0, 0]]), torch.tensor([[2, 5, 10], [3, 0, 0]])
    scores = torch.tensor([[0.5, 0.9, 0.5], [0.1, -torch.inf, -torch.inf]])
    found = proposals_of(starts, ends, scores, mask, 2)
    torch.testing.assert_close(found.spans[0], torch.tensor([[0.45, 0.1], [0.1, 0.2]]))
    torch.testing.assert_close(found.spans[1], torch.tensor([[0.4, 0.4], [0.0, 0.0]]))
    torch.testing.assert_close(found.scores, torch.tensor([[0.9, 0.5], [0.1, -torch.inf]]))


def test_there_are_always_as_many_proposals_as_asked_for():
    mask = torch.ones(1, 4, dtype=torch.bool)
    found = proposals_of(torch.tensor([[1]]), torch.tensor([[2]]), torch.tensor([[0.3]]), mask, 3)
    assert found.spans.shape == (1, 3, 2)
    assert found.scores.tolist() == [[pytest.approx(0.3), -torch.inf, -torch.inf]]
    assert found.spans.isfinite().all()
