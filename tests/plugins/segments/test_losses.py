"""Both losses equal sums over all segmentations."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from amrbench.types import BuildContext, FeatureWidths
from amrbench_plugins.segments.losses import SegmentNllLoss, best_iou, expected_overlap
from amrbench_plugins.segments.parts import SegmentIou, SegmentNll
from tests.plugins.segments.twins import (
    drawn,
    frames_of,
    log_sum,
    mask_of,
    outcome_of,
    score,
    segmentations,
    truth,
)

CONTEXT = BuildContext(FeatureWidths(3, 3))
RUNS = [[(1, 3), (6, 6)], [], [(0, 4)], [(0, 0), (2, 3), (5, 8)], [(0, 8)]]


def nll(**options):
    return cast("SegmentNllLoss", SegmentNll(**options).build(CONTEXT))


def covered(segments):
    return {frame for first, last in segments for frame in range(first, last + 1)}


def cuts(segments):
    """How many segments start right after another one."""
    return sum((first - 1) in {last for _, last in segments} for first, _ in segments)


@pytest.mark.parametrize("subdivisions", [1.0, 0.3, 0.0])
def test_the_likelihood_is_that_of_all_segmentations_of_the_relevant_frames(subdivisions):
    frames, lengths = 9, [9, 4, 6, 9, 9]
    potentials, mask = drawn(lengths, frames)
    relevant = frames_of(RUNS, mask)
    found = nll(subdivisions=subdivisions).of_queries(potentials, relevant, mask)
    for row, length in enumerate(lengths):
        rows, right = potentials[row].tolist()[:length], set(relevant[row].nonzero()[:, 0].tolist())
        scored = [(segments, score(rows, segments)) for segments in segmentations(length)]
        numerator = log_sum(
            [
                one + (math.log(subdivisions) * cuts(segments) if cuts(segments) else 0)
                for segments, one in scored
                if covered(segments) == right and (subdivisions or not cuts(segments))
            ]
        )
        expected = log_sum([one for _, one in scored]) - numerator
        assert found[row].item() == pytest.approx(expected, abs=1e-10)


def test_the_term_is_the_weighted_mean_over_queries():
    potentials, mask = drawn([9, 4, 6], 9)
    relevant = frames_of(RUNS[:3], mask)
    loss = nll(weight=0.5)
    terms = loss(outcome_of(potentials.float(), mask, truth(relevant, [[], [], []], mask)))
    assert list(terms) == ["segment-nll"]
    expected = 0.5 * loss.of_queries(potentials, relevant, mask).mean()
    assert terms["segment-nll"].item() == pytest.approx(expected.item(), rel=1e-5)


def iou(one, other):
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def by_hand(rows, windows):
    """Twice the expected sum of best IoUs, divided by the expected number of segments and that of windows."""
    scored = [(segments, score(rows, segments)) for segments in segmentations(len(rows))]
    total, summed, count = log_sum([one for _, one in scored]), 0.0, 0.0
    for segments, one in scored:
        probability = math.exp(one - total)
        count += probability * len(segments)
        for first, last in segments:
            summed += probability * max(iou((first, last + 1), window) for window in windows)
    return 2 * summed / (count + len(windows))


WINDOWS = [[(1.0, 4.0), (6.2, 6.9)], [(0.5, 3.0)], [(0.0, 6.0)]]


def test_the_expected_overlap_is_that_over_all_segmentations():
    lengths = [9, 4, 6]
    potentials, mask = drawn(lengths, 9, seed=3)
    found = expected_overlap(potentials, truth(mask, WINDOWS, mask), mask)
    for row, length in enumerate(lengths):
        expected = by_hand(potentials[row, :length].tolist(), WINDOWS[row])
        assert found[row].item() == pytest.approx(expected, abs=1e-6)  # spans are float32


def test_queries_without_a_window_do_not_count():
    potentials, mask = drawn([9, 4, 6], 9, seed=3)
    loss = SegmentIou(weight=2.0).build(CONTEXT)
    alone = loss(outcome_of(potentials[:1].float(), mask[:1], truth(mask[:1], WINDOWS[:1], mask[:1])))
    windows = [WINDOWS[0], [], []]
    together = loss(outcome_of(potentials.float(), mask, truth(mask, windows, mask)))
    assert list(together) == ["segment-iou"]
    assert together["segment-iou"].item() == pytest.approx(alone["segment-iou"].item(), abs=1e-6)
    none = loss(outcome_of(potentials.float(), mask, truth(mask, [[], [], []], mask)))
    assert none["segment-iou"].item() == 0


def test_the_true_windows_have_no_loss_and_their_halves_have_one():
    mask = mask_of([8], 8)
    potentials = torch.zeros(1, 8, 4)
    potentials[0, :, 1:] = -1000
    potentials[0, 2:6, 2], potentials[0, 2:6, 0] = 1000, -1000
    potentials[0, 2, 1] = potentials[0, 5, 3] = 0  # one segment, frames 2 to 5
    target = truth(mask, [[(2.0, 6.0)]], mask)
    assert expected_overlap(potentials, target, mask).item() == pytest.approx(1.0, abs=1e-5)
    potentials[0, 4, 1] = potentials[0, 3, 3] = 5000  # cut after frame 3
    assert expected_overlap(potentials, target, mask).item() == pytest.approx(2 / 3, abs=1e-5)


def test_the_best_iou_is_0_for_no_segment_and_no_window():
    mask = mask_of([4, 4], 5)
    target = truth(mask, [[(1.0, 3.0), (3.0, 4.0)], []], mask)
    target.spans[1] = 0.5  # no windows
    best = best_iou(target, mask)
    assert best[0, :4, :4].tolist() == [
        pytest.approx(row, abs=1e-6)
        for row in ([0, 1 / 3, 2 / 3, 1 / 2], [0, 1 / 2, 1, 2 / 3], [0, 0, 1 / 2, 1 / 2], [0, 0, 0, 1])
    ]
    assert best[1].eq(0).all()


def test_gradients_are_right():
    lengths = [6, 4]
    potentials, mask = drawn(lengths, 6)
    potentials.requires_grad_()
    relevant = frames_of([[(1, 2), (4, 5)], [(0, 3)]], mask)
    for subdivisions in (0.0, 0.5, 1.0):
        loss = nll(subdivisions=subdivisions)
        assert gradcheck(lambda values, loss=loss: loss.of_queries(values, relevant, mask), potentials)
    target = truth(relevant, [[(1.0, 3.0), (4.0, 6.0)], [(0.0, 4.0)]], mask)
    assert gradcheck(lambda values: expected_overlap(values, target, mask), potentials)


@pytest.mark.parametrize("part", [SegmentNll(), SegmentNll(subdivisions=0), SegmentIou()])
def test_padding_and_order_change_nothing(part):
    potentials, mask = drawn([9, 4, 6], 12)
    relevant = frames_of(RUNS[:1] + RUNS[2:4], mask)
    loss = part.build(CONTEXT)
    (plain,) = loss(outcome_of(potentials.float(), mask, truth(relevant, WINDOWS, mask))).values()
    order = [2, 0, 1]
    shorter = (potentials[order, :9].float(), mask[order, :9])
    target = truth(relevant[order, :9], [WINDOWS[row] for row in order], mask[order])
    (other,) = loss(outcome_of(*shorter, target)).values()
    assert_close(plain, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e5])
@pytest.mark.parametrize("part", [SegmentNll(), SegmentNll(subdivisions=0), SegmentIou()])
def test_large_potentials_have_finite_losses_and_gradients(part, size):
    potentials, mask = drawn([300, 200], 300, scale=size)
    leaf = potentials.float().requires_grad_()
    relevant = frames_of([[(0, 120), (140, 299)], []], mask)
    (term,) = part.build(CONTEXT)(
        outcome_of(leaf, mask, truth(relevant, [[(0.0, 121.0), (140.0, 300.0)], []], mask))
    ).values()
    term.backward()
    assert term.isfinite()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


def test_a_likelihood_is_at_most_one():
    potentials, mask = drawn([300] * 8, 300, scale=5.0)
    relevant = torch.rand(8, 300, generator=torch.Generator().manual_seed(0)) < 0.5
    assert nll().of_queries(potentials, relevant, mask).min() > 0
