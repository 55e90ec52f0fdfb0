"""The potentials of a frame come from it and its neighbours inside the recording."""

import torch

from amrbench.slots.blocks import BlockContext, Memory
from amrbench.testing import CONTEXT
from amrbench_plugins.moment_detr.layers import keep_weights
from amrbench_plugins.moment_detr.small_blocks import ReluAndPRelu
from amrbench_plugins.segments.head import FIRST
from amrbench_plugins.segments.parts import Segments

WIDTH = 8


def potentials(frames, mask=None, **options):
    """Return (B, T, 4) for frames (B, T, D) with the first weights of the head."""
    context = BlockContext(
        width=WIDTH,
        attention_heads=1,
        feedforward=WIDTH,
        dropout=0.0,
        activation=ReluAndPRelu(),
        initialise=keep_weights,
        build=CONTEXT,
    )
    with CONTEXT.drawing():
        head = Segments(**options).build(context)
    mask = torch.ones(frames.shape[:2], dtype=torch.bool) if mask is None else mask
    memory = Memory(torch.zeros(len(frames), WIDTH), frames, torch.zeros_like(frames), mask)
    with torch.no_grad():
        return head.of_memory(memory)["segments"]


def test_it_starts_with_few_segments():
    first = potentials(torch.zeros(1, 5, WIDTH))
    assert first.shape == (1, 5, 4)
    assert (first.mean((0, 1)) - torch.tensor(FIRST)).abs().max() < 0.5


def test_a_frame_is_seen_as_far_as_the_reach():
    torch.manual_seed(0)
    frames = torch.randn(1, 12, WIDTH)
    other = frames.clone()
    other[:, 6] += 1
    for reach in (0, 2):
        changed = (potentials(frames, reach=reach) != potentials(other, reach=reach)).any(-1)[0]
        assert changed.nonzero().flatten().tolist() == list(range(6 - reach, 7 + reach))


def test_padding_counts_as_what_is_outside_of_the_recording():
    torch.manual_seed(0)
    frames = torch.randn(1, 9, WIDTH)
    mask = torch.arange(9)[None] < 6
    whole, alone = potentials(frames, mask, reach=2), potentials(frames[:, :6], reach=2)
    assert torch.allclose(whole[:, :6], alone, atol=1e-6)
