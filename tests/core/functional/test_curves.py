import math

import pytest
import torch
from torch.testing import assert_close

from amrbench.functional.curves import means_of

EMPTY = 1e-6  # of the frames that a span covers


def by_hand(curve, centre, width):
    """Return the mean of a list of numbers inside a span and outside of it, frame by frame."""
    frames = len(curve)
    start, end = (
        min(max(edge * frames, 0.0), float(frames)) for edge in (centre - width / 2, centre + width / 2)
    )
    inside = outside = covered = 0.0
    for frame, value in enumerate(curve):
        part = max(0.0, min(end, frame + 1) - max(start, frame))
        inside, outside, covered = inside + part * value, outside + (1 - part) * value, covered + part
    nearest = curve[min(int(start), frames - 1)]
    rest = frames - covered
    return (
        inside / covered if covered > EMPTY else nearest,
        outside / rest if rest > EMPTY else sum(curve) / frames,
    )


def drawn(seed, batch=4, frames=30, spans=40):
    """Return a curve, its mask and spans, some of which leave the recording."""
    generator = torch.Generator().manual_seed(seed)
    curve = torch.randn(batch, frames, generator=generator)
    lengths = torch.randint(1, frames + 1, (batch, 1), generator=generator)
    centres = torch.rand(batch, spans, generator=generator) * 1.4 - 0.2
    widths = torch.rand(batch, spans, generator=generator).square()
    return curve, torch.arange(frames)[None] < lengths, torch.stack([centres, widths], -1)


@pytest.mark.parametrize("seed", range(10))
def test_means_equal_their_plain_twin(seed):
    curve, mask, spans = drawn(seed)
    means = means_of(curve, mask, spans)
    for row in range(len(curve)):
        real = curve[row][mask[row]].tolist()
        for column, (centre, width) in enumerate(spans[row].tolist()):
            inside, outside = by_hand(real, centre, width)
            assert means.inside[row, column].item() == pytest.approx(inside, abs=1e-3)
            assert means.outside[row, column].item() == pytest.approx(outside, abs=1e-3)


CURVE = torch.tensor([[1.0, 2.0, 4.0, 8.0]])


@pytest.mark.parametrize(
    ("start", "end", "inside", "outside"),
    [
        (1, 3, 3.0, 4.5),  # whole frames
        (0.5, 2.5, (0.5 + 2 + 2) / 2, (0.5 + 2 + 8) / 2),  # parts of frames
        (1.25, 1.75, 2.0, (15 - 1) / 3.5),  # inside of one frame
        (0, 4, 3.75, 3.75),  # all: the mean of all is outside too
        (-3, 9, 3.75, 3.75),  # cut to the recording
        (-2, 1, 1.0, 14 / 3),
        (2, 2, 4.0, 3.75),  # empty: the frame that it is in
        (4, 4, 8.0, 3.75),
        (-2, -1, 1.0, 3.75),  # before the recording: the first frame
        (6, 7, 8.0, 3.75),  # after it: the last
    ],
)
@pytest.mark.parametrize("padding", [0, 3])
def test_known_means(start, end, inside, outside, padding):
    curve = torch.cat([CURVE, torch.full((1, padding), math.nan)], 1)
    mask = torch.arange(4 + padding)[None] < 4
    spans = torch.tensor([[[(start + end) / 2, end - start]]]) / 4
    means = means_of(curve, mask, spans)
    assert (means.inside.item(), means.outside.item()) == (pytest.approx(inside), pytest.approx(outside))


def test_padding_and_the_rest_of_the_batch_change_nothing():
    curve, mask, spans = drawn(3)
    means = means_of(curve, mask, spans)
    longer = torch.cat([curve, torch.full((4, 7), 99.0)], 1)
    padded = means_of(longer, torch.cat([mask, torch.zeros(4, 7, dtype=torch.bool)], 1), spans)
    for name in ("inside", "outside"):
        assert_close(getattr(padded, name), getattr(means, name))
    for row in range(4):
        alone = means_of(curve[row : row + 1], mask[row : row + 1], spans[row : row + 1])
        assert_close(alone.inside[0], means.inside[row])
        assert_close(alone.outside[0], means.outside[row])


def test_spans_that_are_not_numbers_give_finite_means():
    """They are refused later, with a message that names the query."""
    spans = torch.tensor([[[math.nan, 0.1], [math.inf, 0.1], [0.5, math.inf], [math.inf, math.inf]]])
    means = means_of(CURVE, CURVE > 0, spans)
    assert torch.isfinite(means.inside).all()
    assert torch.isfinite(means.outside).all()


def test_a_curve_of_other_types_gives_the_same_means():
    spans = torch.tensor([[[0.4, 0.3]]])
    double, half = (
        means_of(CURVE.double(), CURVE > 0, spans.double()),
        means_of(CURVE.half(), CURVE > 0, spans.half()),
    )
    plain = means_of(CURVE, CURVE > 0, spans)
    assert_close(double.inside, plain.inside)
    assert_close(half.inside, plain.inside, rtol=1e-3, atol=1e-3)
    assert double.inside.dtype == half.outside.dtype == torch.float32
