from itertools import pairwise

import pytest
import torch

from amrbench_plugins.readouts.change_points import change_segments
from amrbench_plugins.readouts.parts import ChangePoints
from tests.plugins.readouts.frames import LENGTHS, drawn, outputs_of, segments_of, shares_by_hand


def changes_by_hand(shares, half):
    """Segments from each maximum of the step filter to the next minimum."""
    at = lambda frame: shares[frame] if 0 <= frame < len(shares) else 0.0  # noqa: E731
    step = [
        sum(at(t + k) for k in range(half)) / half - sum(at(t - 1 - k) for k in range(half)) / half
        for t in range(len(shares) + 1)
    ]
    segments, start, rising = [], None, True
    for point in range(len(step)):
        last = point == len(step) - 1
        change = 1.0 if last else step[point + 1] - step[point]
        if change < 0 and rising:
            start, rising = point, False
        elif change > 0 and not rising:
            segments.append((start, point))
            rising = True
    return segments


def mean(shares, start, end):
    return sum(shares[start:end]) / (end - start)


def by_hand(curve, half, absolute, relative, count):
    """The joined segments of one recording."""
    shares = shares_by_hand(curve)
    segments = changes_by_hand(shares, half)
    while True:
        closing = []
        for index, (one, two) in enumerate(pairwise(segments)):
            higher, gap = max(mean(shares, *one), mean(shares, *two)), mean(shares, one[1], two[0])
            if higher - gap <= absolute or higher <= relative * gap:
                closing.append((higher - gap, index))
        if not closing:
            break
        index = min(closing)[1]
        segments[index : index + 2] = [(segments[index][0], segments[index + 1][1])]
    rows = [(start, end, mean(shares, start, end)) for start, end in segments]
    return sorted(rows, key=lambda row: -row[2])[:count]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("half", [1, 2, 5])
def test_change_points_equal_their_plain_twin(seed, half):
    curves = drawn(seed)
    outputs = outputs_of(*curves)
    shares = torch.zeros(outputs.mask.shape, dtype=torch.float64)
    for row, curve in enumerate(curves):
        shares[row, : len(curve)] = torch.tensor(shares_by_hand(curve), dtype=torch.float64)
    found = change_segments(shares, outputs.mask, half)
    for row, curve in enumerate(curves):
        expected = changes_by_hand(shares_by_hand(curve), half)
        number = int(found.number[row])
        pairs = zip(found.starts[row, :number].tolist(), found.ends[row, :number].tolist(), strict=True)
        assert list(pairs) == expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("filter_", "absolute", "relative", "count"),
    [(2, 0.2, 2.0, 10), (4, 0.1, 1.0, 10), (2, 0.0, 1.0, 3), (2, 0.0, 3.0, 50), (6, 1.0, 1.0, 5)],
)
def test_the_read_out_equals_its_plain_twin(seed, filter_, absolute, relative, count):
    curves = drawn(seed)
    part = ChangePoints(filter=filter_, absolute=absolute, relative=relative, count=count)
    found = part.build({})(outputs_of(*curves))
    for rows, curve in zip(segments_of(found, LENGTHS), curves, strict=True):
        expected = by_hand(curve, filter_ // 2, absolute, relative, count)
        assert [row[:2] for row in rows] == [row[:2] for row in expected]
        assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected], abs=1e-5)


HIGH, LOW = 9.0, -9.0


def read(curve, **options):
    """Return the segments of one recording without their scores."""
    found = ChangePoints(**options).build({})(outputs_of(curve))
    return [row[:2] for row in segments_of(found, [len(curve)])[0]]


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("start", [0, 3, 7])
def test_a_raised_part_is_found_exactly(width, start):
    curve = [LOW] * start + [HIGH] * width + [LOW] * 6
    assert read(curve)[0] == (start, start + width)


def test_a_shallow_gap_closes_and_a_deep_one_stays():
    curve = [LOW] * 4 + [HIGH] * 4 + [1.5] * 2 + [HIGH] * 4 + [LOW] * 4 + [0.0] * 3 + [LOW] * 3
    assert read(curve)[:2] == [(4, 14), (18, 21)]
    assert read(curve, absolute=0.1, relative=1.0)[:2] == [(4, 8), (10, 14)]
    assert read(curve, absolute=0.1, relative=1.5)[:2] == [(4, 14), (18, 21)]
    assert read(curve, absolute=1.0) == [(0, len(curve))]


def test_a_flat_curve_is_one_segment():
    for level in (-60.0, 0.0, 60.0):
        assert read([level] * 5) == [(0, 5)]


def test_segments_of_a_loud_recording_do_not_hide_in_its_padding():
    alone = ChangePoints().build({})(outputs_of([HIGH, LOW, LOW, HIGH]))
    padded = ChangePoints().build({})(outputs_of([HIGH, LOW, LOW, HIGH], [LOW] * 30))
    torch.testing.assert_close(padded.spans[:1], alone.spans)
    torch.testing.assert_close(padded.scores[:1], alone.scores)
