"""The loss on frames equals its plain twin; the matcher matches nothing."""

import pytest
import torch
from torch.nn import functional

from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins.frame_models.parts import FrameBce, NoMatcher

CONTEXT = BuildContext(FeatureWidths(4, 4))


def outcome(saliency, relevant, mask):
    batch, frames = saliency.shape
    empty = torch.zeros(batch, 1, dtype=torch.bool)
    return Outcome(
        Batch(torch.zeros(batch, frames, 4), mask, torch.zeros(batch, 1, 4), ~empty, torch.arange(batch)),
        Target(
            torch.zeros(batch, 3, 2),
            torch.ones(batch, 3, dtype=torch.bool),
            relevant,
            empty.long(),
            empty.long(),
        ),
        {"saliency": saliency},
        {},
        torch.empty(0, batch, 3, dtype=torch.long),
    )


def by_hand(saliency, relevant, mask):
    rows = []
    for row in range(len(saliency)):
        terms = {True: [], False: []}
        for frame in range(saliency.shape[1]):
            if mask[row, frame]:
                label = bool(relevant[row, frame])
                terms[label].append(
                    -functional.logsigmoid(saliency[row, frame] if label else -saliency[row, frame]).item()
                )
        means = [sum(values) / len(values) for values in terms.values() if values]
        rows.append(sum(means) / len(means))
    return sum(rows) / len(rows)


def test_the_loss_equals_its_plain_twin_also_if_one_class_is_missing():
    generator = torch.Generator().manual_seed(0)
    saliency = torch.randn(4, 9, generator=generator)
    relevant = torch.rand(4, 9, generator=generator) < 0.3
    relevant[1], relevant[2] = False, True
    mask = torch.arange(9)[None] < torch.tensor([9, 5, 7, 3])[:, None]
    terms = FrameBce(weight=2.0).build(CONTEXT)(outcome(saliency, relevant, mask))
    assert list(terms) == ["frame-bce"]
    assert terms["frame-bce"].item() == pytest.approx(2 * by_hand(saliency, relevant, mask), rel=1e-6)


def test_padded_frames_have_no_gradient():
    saliency = torch.zeros(1, 4, requires_grad=True)
    relevant = torch.tensor([[True, False, True, False]])
    mask = torch.tensor([[True, True, False, False]])
    FrameBce().build(CONTEXT)(outcome(saliency, relevant, mask))["frame-bce"].backward()
    assert saliency.grad is not None
    assert saliency.grad[0, :2].abs().min() > 0
    assert saliency.grad[0, 2:].tolist() == [0, 0]


def test_no_matcher_has_no_layer():
    target = outcome(
        torch.zeros(2, 5), torch.zeros(2, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    ).target
    matched = NoMatcher().build()({}, target)
    assert matched.shape == (0, 2, 3)
    assert matched.dtype == torch.long
