"""The read-out equals its plain twin."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from amrbench.types import Outputs
from amrbench_plugins.segments.chain import log_marginals
from amrbench_plugins.segments.parts import SegmentPosterior
from amrbench_plugins.segments.readout import pick
from tests.plugins.segments.twins import drawn, log_sum, mask_of, score, segmentations


def read(potentials, mask, **options):
    return SegmentPosterior(**options).build({})(Outputs({"segments": potentials}, mask))


def iou(one, other):
    """Of segments with an exclusive end, in whole frames."""
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def by_hand(scores, count, overlap):
    """Pick one segment after the other; (start, end, score) best first."""
    frames, kept = len(scores), []
    found = [
        (first, last + 1, scores[first][last])
        for first in range(frames)
        for last in range(first, frames)
        if scores[first][last] > -torch.inf
    ]
    for segment in sorted(found, key=lambda segment: -segment[2]):
        if all(iou(segment, other) <= overlap + 1e-9 for other in kept):
            kept.append(segment)
    return kept[:count]


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 6, 40])
def test_the_suppression_equals_its_plain_twin(overlap, count):
    potentials, mask = drawn([12, 7, 1, 3], 14, seed=int(10 * overlap) + count)
    scores = log_marginals(potentials, mask).float()
    picked = pick(scores, count, overlap)
    for row in range(4):
        expected = by_hand(scores[row].tolist(), count, overlap)
        found = list(
            zip(
                picked.starts[row].tolist(),
                picked.ends[row].tolist(),
                picked.scores[row].tolist(),
                strict=True,
            )
        )
        assert found[: len(expected)] == expected
        assert all(score == -torch.inf for _, _, score in found[len(expected) :])


@pytest.mark.parametrize("overlap", [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("length", [20, 130, 210])
def test_an_overlap_at_the_limit_is_kept_and_one_frame_more_is_not(overlap, length):
    scores, part = torch.full((1, 300, 300), -torch.inf), round(overlap * length)
    scores[0, 61, 60 + length] = 3
    scores[0, 61, 61 + part] = 2
    scores[0, 61, 60 + part] = 1
    picked = pick(scores, 3, overlap)
    assert picked.scores[0].tolist() == [3, 1, -torch.inf]


def test_rounding_is_small_for_long_recordings():
    potentials, mask = drawn([300], 300, scale=10.0)
    exact = log_marginals(potentials.float().double(), mask).exp()[0]
    proposals = read(potentials.float(), mask, count=20)
    expected = pick(exact.log()[None], 20, 0.7).scores[0].exp()
    assert_close(proposals.scores[0].double(), expected, rtol=2e-6, atol=0)


def test_the_score_is_the_probability_of_the_segment():
    potentials, mask = drawn([5], 5)
    proposals = read(potentials.float(), mask, count=15, overlap=1.0)
    scored = [(segments, score(potentials[0].tolist(), segments)) for segments in segmentations(5)]
    total = log_sum([one for _, one in scored])
    for (centre, width), value in zip(proposals.spans[0].tolist(), proposals.scores[0].tolist(), strict=True):
        segment = (round(5 * (centre - width / 2)), round(5 * (centre + width / 2)) - 1)
        having = log_sum([one for segments, one in scored if segment in segments])
        assert value == pytest.approx(torch.tensor(having - total).exp().item(), rel=1e-5)
    assert (proposals.scores.diff(dim=1) <= 0).all()


def test_there_are_as_many_rows_as_asked_for_and_missing_ones_have_no_score():
    potentials, mask = drawn([2, 9], 9)
    proposals = read(potentials.float(), mask, count=7, overlap=1.0)
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
        assert proposals.scores.max() <= 1


def test_a_clear_segment_is_read_with_certainty():
    potentials = torch.zeros(1, 20, 4)
    potentials[..., 1:] = -20
    potentials[0, 5:9, 2], potentials[0, 5:9, 0] = 20, -20
    potentials[0, 5, 1] = potentials[0, 8, 3] = 20
    proposals = read(potentials, mask_of([20], 20))
    assert proposals.spans[0, 0].tolist() == pytest.approx([7 / 20, 4 / 20])
    assert proposals.scores[0, 0].item() == pytest.approx(1.0, abs=1e-6)
