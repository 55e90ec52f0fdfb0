"""The read-out equals its plain twin, which sums over all segmentations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from amrbench.types import Outputs
from amrbench_plugins.segments.chain import log_marginals
from amrbench_plugins.segments.parts import SegmentPosterior
from tests.plugins.segments.twins import drawn, log_sum, mask_of, score, segmentations


def read(potentials, mask, **options):
    return SegmentPosterior(**options).build({})(Outputs({"segments": potentials}, mask))


def iou(one, other):
    """Of segments with an exclusive end, in whole frames."""
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def by_hand(potentials, count, low, high):
    """Pick one segment after the other by what is gained over all segmentations; (start, end, gain)."""
    frames = len(potentials)
    scored = [(segments, score(potentials, segments)) for segments in segmentations(frames)]
    total = log_sum([one for _, one in scored])
    every = [(first, last + 1) for first in range(frames) for last in range(first, frames)]
    chances = {
        one: sum(math.exp(log - total) for segments, log in scored if (one[0], one[1] - 1) in segments)
        for one in every
    }

    def worth(listed):
        covered = {
            one: max((min(max((iou(one, own) - low) / (high - low), 0), 1) for own in listed), default=0)
            for one in every
        }
        return sum(chances[one] * covered[one] for one in every)

    listed = []
    for _ in range(min(count, len(every))):
        gains = {one: worth([*listed, one]) - worth(listed) for one in every if one not in listed}
        listed.append(max(gains, key=gains.get))
        yield (*listed[-1], gains[listed[-1]])


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.9), (0.0, 1.0), (0.5, 0.6)])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_its_plain_twin(low, high, seed):
    potentials, mask = drawn([7, 4, 1], 9, seed=seed)
    proposals = read(potentials, mask, count=4, low=low, high=high)
    for row, frames in enumerate([7, 4, 1]):
        expected = list(by_hand(potentials[row, :frames].tolist(), 4, low, high))
        scores = proposals.scores[row].tolist()
        assert scores[: len(expected)] == pytest.approx([gain for *_, gain in expected], abs=1e-6)
        assert scores[len(expected) :] == [-math.inf] * (4 - len(expected))
        for (start, end, gain), (centre, width) in zip(expected, proposals.spans[row].tolist(), strict=False):
            if gain > 1e-3:  # Below it, several segments gain the same.
                assert (centre - width / 2) * frames == pytest.approx(start, abs=1e-4)
                assert (centre + width / 2) * frames == pytest.approx(end, abs=1e-4)


def test_scores_fall_and_no_segment_is_picked_twice():
    potentials, mask = drawn([30, 12], 30)
    proposals = read(potentials, mask, count=50)
    assert (proposals.scores.diff(dim=1) <= 0).all()
    assert all(len(set(map(tuple, spans))) == 50 for spans in proposals.spans.round(decimals=4).tolist())


def test_few_candidates_are_the_most_probable_ones():
    potentials, mask = drawn([12], 12)
    marginals = log_marginals(potentials, mask)[0]
    best = marginals.flatten().topk(3).indices
    expected = {(int(index) // 12 / 12, (int(index) % 12 + 1) / 12) for index in best}
    spans = read(potentials, mask, count=3, candidates=3).spans[0].double()
    windows = torch.stack([spans[:, 0] - spans[:, 1] / 2, spans[:, 0] + spans[:, 1] / 2], 1)
    assert sorted(map(tuple, windows.tolist())) == [pytest.approx(one, abs=1e-6) for one in sorted(expected)]


def test_the_score_of_the_first_is_the_overlap_that_is_expected_of_it():
    potentials, mask = drawn([5], 5)
    proposals = read(potentials, mask, count=1, low=0.0, high=1.0)
    (expected,) = by_hand(potentials[0].tolist(), 1, 0.0, 1.0)
    assert proposals.scores.item() == pytest.approx(expected[2], abs=1e-6)


def test_there_are_as_many_rows_as_asked_for_and_missing_ones_have_no_score():
    potentials, mask = drawn([2, 9], 9)
    proposals = read(potentials.float(), mask, count=7)
    assert proposals.spans.shape == (2, 7, 2)
    assert proposals.scores.isfinite().sum(1).tolist() == [3, 7]
    assert proposals.scores[0, 3:].eq(-torch.inf).all()
    assert proposals.spans.isfinite().all()
    assert proposals.spans.dtype == proposals.scores.dtype == torch.float32


def test_spans_are_fractions_of_the_real_frames_and_padding_changes_nothing():
    potentials, mask = drawn([8, 5], 11)
    together = read(potentials.float(), mask, count=4)
    for row, length in enumerate([8, 5]):
        alone = read(potentials[row : row + 1, :length].float(), mask_of([length], length), count=4)
        assert_close(alone.spans[0], together.spans[row])
        assert_close(alone.scores[0], together.scores[row])
    low = together.spans[..., 0] - together.spans[..., 1] / 2
    assert low.min() > -1e-6
    assert (low + together.spans[..., 1]).max() < 1 + 1e-6


def test_long_segments_are_left_out_on_request_but_never_those_of_one_frame():
    potentials, mask = drawn([10, 3], 10)
    potentials[..., 1:] += torch.tensor([-9.0, 9.0, -9.0])  # long segments are likely
    longest = read(potentials.float(), mask, count=10, longest=0.3)
    assert round(10 * longest.spans[0, :, 1].max().item()) == 3
    exists = longest.scores[1] > -torch.inf
    assert exists.sum() == 3
    assert_close(longest.spans[1][exists][:, 1], torch.full((3,), 1 / 3))
    assert read(potentials.float(), mask, count=10).spans[0, :, 1].max() > 0.5


def test_half_precision_and_large_potentials_are_read():
    potentials, mask = drawn([300, 200], 300, scale=1e4)
    for tensor in (potentials.float(), potentials.bfloat16()):
        proposals = read(tensor, mask)
        assert proposals.scores.dtype == torch.float32
        assert not proposals.scores.isnan().any()
        assert proposals.scores.isfinite().any(1).all()


def test_a_clear_segment_is_read_with_certainty():
    potentials = torch.zeros(1, 20, 4)
    potentials[..., 1:] = -20
    potentials[0, 5:9, 2], potentials[0, 5:9, 0] = 20, -20
    potentials[0, 5, 1] = potentials[0, 8, 3] = 20
    proposals = read(potentials, mask_of([20], 20))
    assert proposals.spans[0, 0].tolist() == pytest.approx([7 / 20, 4 / 20])
    assert proposals.scores[0, 0].item() == pytest.approx(1.0, abs=1e-6)
