"""The search for windows equals its plain twin."""

import math

import numpy as np
import pytest
import torch

from amrbench.functional.spans import to_windows
from amrbench.types import Outputs
from amrbench_plugins.readouts.parts import WindowSearch as Part
from amrbench_plugins.readouts.window_search import Windows, WindowSearch, best, contrast, quantiles


def search(curve, mask, widths, *, count, overlap):
    """Return the proposals in frames, as `Windows`."""
    proposals = WindowSearch(widths, count=count, overlap=overlap)(Outputs({"saliency": curve}, mask))
    frames = mask.sum(1)[:, None]
    starts, ends = (to_windows(proposals.spans) * frames[..., None]).unbind(-1)
    assert (starts - starts.round()).abs().max() < 1e-4, "they start with a frame"
    assert proposals.evidence == {}
    return Windows(starts.round().long(), ends.round().long(), proposals.scores)


def by_hand(curve, widths, count, overlap):
    """The search for one recording, window by window; (start, end, score) best first."""
    frames, candidates = len(curve), []
    for width in widths:
        length = min(max(1, round(width * frames)), frames)
        for start in range(frames - length + 1):
            inside = curve[start : start + length]
            outside = curve[:start] + curve[start + length :]
            difference = sum(inside) / length - (sum(outside) / len(outside) if outside else 0.0)
            raw = difference * math.sqrt(length * len(outside) / frames)
            candidates.append((start, start + length, raw / (1 + abs(raw))))
    kept = []
    for window in sorted(candidates, key=lambda window: -window[2]):
        if all(iou(window, other) <= overlap for other in kept):
            kept.append(window)
    return kept[:count]


def iou(one, other):
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


@pytest.mark.parametrize("seed", range(5))
def test_the_search_equals_its_plain_twin(seed):
    rng = np.random.default_rng(seed)
    lengths, widths = rng.integers(12, 40, 4).tolist(), rng.uniform(0.02, 0.4, 3).tolist()
    curve = torch.from_numpy(rng.normal(size=(4, 40)).astype(np.float32))
    mask = torch.arange(40)[None] < torch.tensor(lengths)[:, None]
    picked = search(curve, mask, widths, count=4, overlap=0.3)
    for row, frames in enumerate(lengths):
        expected = by_hand(curve[row, :frames].tolist(), widths, 4, 0.3)
        assert picked.starts[row].tolist() == [start for start, _, _ in expected]
        assert picked.ends[row].tolist() == [end for _, end, _ in expected]
        assert picked.scores[row].tolist() == pytest.approx([score for _, _, score in expected], abs=1e-5)


def test_a_raised_part_is_picked_exactly():
    curve = torch.zeros(1, 30)
    curve[0, 12:17] = 1
    picked = search(curve, curve >= 0, [0.1, 5 / 30, 0.5], count=3, overlap=0.5)
    assert (picked.starts[0, 0].item(), picked.ends[0, 0].item()) == (12, 17)


def test_padding_changes_nothing_even_where_it_is_not_zero():
    curve = torch.randn(3, 25, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(25)[None] < torch.tensor([25, 20, 9])[:, None]
    options = {"widths": [0.1, 0.2, 0.6], "count": 5, "overlap": 0.5}
    longer = torch.cat([curve, torch.full((3, 11), 99.0)], 1)
    plain = search(curve, mask, **options)
    padded = search(longer, torch.cat([mask, torch.zeros(3, 11, dtype=torch.bool)], 1), **options)
    assert torch.equal(plain.starts, padded.starts)
    assert torch.equal(plain.ends, padded.ends)
    torch.testing.assert_close(plain.scores, padded.scores)


def test_windows_stay_inside_short_recordings_and_keep_their_order():
    mask = torch.arange(10)[None] < torch.tensor([1, 2, 10])[:, None]
    curve = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    picked = search(curve, mask, [0.05, 0.5, 1.0], count=6, overlap=0.5)
    assert (picked.ends <= mask.sum(1, keepdim=True)).all()
    assert (picked.ends > picked.starts).all()
    assert torch.isfinite(picked.scores).all()
    assert (picked.scores.diff(dim=1) <= 0).all()


def test_skipped_windows_follow_all_others_and_picked_ones_are_last():
    windows = Windows(torch.tensor([[0, 1, 9]]), torch.tensor([[8, 9, 10]]), torch.tensor([[0.9, 0.8, -0.9]]))
    picked = best(windows, count=4, overlap=0.5)
    assert picked.starts[0].tolist() == [0, 9, 1, 0]
    assert picked.scores[0].tolist() == pytest.approx([0.9, -0.9, -1.2, -5.1])


def test_the_whole_recording_has_no_contrast():
    curve = torch.full((1, 6), 3.0)
    windows = contrast(curve, curve > 0, torch.tensor([[6]]))
    assert windows.scores[0, 0].item() == 0


def test_quantiles_are_medians_of_equal_parts():
    assert quantiles((0.1, 0.2, 0.3, 0.4, 0.5), 2) == pytest.approx([0.2, 0.4])


def test_widths_without_statistics_grow_from_a_hundredth_to_half():
    assert quantiles((), 3) == pytest.approx([0.01, 0.0707107, 0.5], rel=1e-4)


def test_the_part_searches_with_quantiles_of_the_training_windows():
    part = Part(lengths=2, count=3, overlap=0.2)
    fitted = part.fit((0.1, 0.2, 0.3, 0.4, 0.5))
    assert fitted == {"widths": pytest.approx([0.2, 0.4])}
    built = part.build(fitted)
    assert built.widths.tolist() == pytest.approx([0.2, 0.4])
    assert (built.count, built.overlap) == (3, 0.2)
    assert len(part.fit(())["widths"]) == 2
