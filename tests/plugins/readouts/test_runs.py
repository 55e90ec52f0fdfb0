import pytest

from amrbench_plugins.readouts.parts import Runs
from tests.plugins.readouts.frames import LENGTHS, drawn, outputs_of, segments_of, shares_by_hand


def by_hand(curve, threshold, count):
    """The runs of one recording, frame by frame."""
    shares, runs, start = shares_by_hand(curve), [], None
    for frame, share in enumerate([*shares, -1.0]):
        if share >= threshold and start is None:
            start = frame
        if share < threshold and start is not None:
            runs.append((start, frame, sum(shares[start:frame]) / (frame - start)))
            start = None
    return sorted(runs, key=lambda run: -run[2])[:count]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("threshold", "count"), [(0.5, 10), (0.2, 3), (0.95, 10), (1.0, 2)])
def test_runs_equal_their_plain_twin(seed, threshold, count):
    curves = drawn(seed, smooth=2)
    found = Runs(threshold=threshold, count=count).build({})(outputs_of(*curves))
    for rows, curve in zip(segments_of(found, LENGTHS), curves, strict=True):
        expected = by_hand(curve, threshold, count)
        assert [row[:2] for row in rows] == [run[:2] for run in expected]
        assert [row[2] for row in rows] == pytest.approx([run[2] for run in expected], abs=1e-6)


def test_alternating_frames_are_many_runs():
    for frames in (9, 10):
        curve = [5.0 if frame % 2 == 0 else -5.0 for frame in range(frames)]
        rows = segments_of(Runs().build({})(outputs_of(curve)), [frames])[0]
        assert [row[:2] for row in rows] == [(start, start + 1) for start in range(0, frames, 2)]


def test_runs_touch_the_edges():
    rows = segments_of(Runs().build({})(outputs_of([3, 3, -9, -9, 3, 3, 3.5])), [7])[0]
    assert [row[:2] for row in rows] == [(4, 7), (0, 2)]


def test_a_flat_curve_is_one_run():
    assert segments_of(Runs().build({})(outputs_of([-80.0] * 6)), [6]) == [[(0, 6, 1.0)]]
