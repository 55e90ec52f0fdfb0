"""The chain equals the enumeration of all segmentations."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from amrbench_plugins.segments.chain import log_marginals, log_partition, relative
from tests.plugins.segments.twins import drawn, log_sum, mask_of, score, segmentations

EXACT = {"rtol": 0.0, "atol": 1e-10}


def test_one_frame_is_background_or_a_segment():
    assert set(segmentations(1)) == {(), ((0, 0),)}
    assert len(list(segmentations(2))) == 5
    assert len(set(segmentations(6))) == len(list(segmentations(6)))


@pytest.mark.parametrize("frames", range(1, 11))
def test_the_partition_function_is_the_sum_over_all_segmentations(frames):
    potentials, mask = drawn([frames], frames, seed=frames)
    rows = potentials[0].tolist()
    expected = log_sum([score(rows, segments) for segments in segmentations(frames)])
    assert log_partition(potentials, mask).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("frames", range(1, 11))
def test_marginals_of_all_segments_are_sums_over_the_segmentations_that_have_them(frames):
    potentials, mask = drawn([frames], frames, seed=20 + frames)
    rows = potentials[0].tolist()
    scored = [(set(segments), score(rows, segments)) for segments in segmentations(frames)]
    total = log_sum([one for _, one in scored])
    found = log_marginals(potentials, mask)[0]
    for first in range(frames):
        for last in range(frames):
            having = [one for segments, one in scored if (first, last) in segments]
            expected = log_sum(having) - total if having else -torch.inf
            assert found[first, last].item() == pytest.approx(expected, abs=1e-10)


def test_the_background_can_be_moved_into_the_segments():
    potentials, mask = drawn([7, 4], 7)
    moved = potentials[..., 0].masked_fill(~mask, 0).sum(1)
    assert_close(log_partition(relative(potentials), mask) + moved, log_partition(potentials, mask), **EXACT)
    assert relative(potentials)[..., 0].eq(0).all()


def test_the_probabilities_of_a_frame_add_up_to_those_of_its_foreground():
    """Marginals are gradients of the partition function: the inside potential counts covered frames."""
    potentials, mask = drawn([40, 33], 40, scale=1.0)
    potentials.requires_grad_()
    (gradient,) = torch.autograd.grad(log_partition(potentials, mask).sum(), potentials)
    marginals = log_marginals(potentials.detach(), mask).exp()
    assert_close(marginals.sum(2), gradient[..., 1], **EXACT)
    assert_close(marginals.sum(1), gradient[..., 3], **EXACT)
    covered = marginals.cumsum(1).flip(2).cumsum(2).flip(2).diagonal(dim1=1, dim2=2)
    assert_close(covered, gradient[..., 2], **EXACT)


@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_gradients_are_right(frames):
    potentials, mask = drawn([frames, max(1, frames - 2)], frames)
    potentials.requires_grad_()
    assert gradcheck(lambda values: log_partition(values, mask), potentials)
    assert gradcheck(lambda values: log_marginals(values, mask).exp(), potentials)


def test_padding_order_and_size_of_the_batch_change_nothing():
    lengths = [9, 1, 16, 5]
    potentials, mask = drawn(lengths, 21)
    partition, marginals = log_partition(potentials, mask), log_marginals(potentials, mask)
    for row, length in enumerate(lengths):
        alone = potentials[row : row + 1, :length]
        real = mask_of([length], length)
        assert_close(log_partition(alone, real), partition[row : row + 1], **EXACT)
        assert_close(log_marginals(alone, real)[0], marginals[row, :length, :length], **EXACT)
    outside = ~(mask[:, :, None] & mask[:, None])
    assert marginals[outside].eq(-torch.inf).all()
    order = [2, 0, 3, 1]
    assert_close(log_partition(potentials[order], mask[order]), partition[order], **EXACT)


def test_padding_has_no_gradient_even_where_it_is_no_number():
    potentials, mask = drawn([9, 4], 9)
    potentials = potentials.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    (log_partition(potentials, mask).sum() + log_marginals(potentials, mask).exp().sum()).backward()
    assert potentials.grad is not None
    assert potentials.grad[~mask].eq(0).all()
    assert potentials.grad[mask].ne(0).all()


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_large_potentials_stay_finite(size):
    potentials, mask = drawn([300, 211], 300, scale=size)
    leaf = potentials.float().requires_grad_()
    marginals = log_marginals(leaf, mask).exp()
    (log_partition(leaf, mask).sum() + marginals.sum()).backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert marginals.isfinite().all()
    assert marginals.max() <= 1


def test_single_precision_is_near_double_for_long_recordings():
    potentials, mask = drawn([300], 300, scale=5.0)
    exact, single = (log_marginals(one, mask).exp() for one in (potentials, potentials.float()))
    assert_close(single.double(), exact, rtol=0, atol=1e-3)
