"""Every segmentation of a short recording, one by one, and made-up outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from amrbench.slots.blocks import BlockContext, Memory
from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins.moment_detr.layers import xavier
from amrbench_plugins.moment_detr.parts import ReluPRelu
from amrbench_plugins.segments.parts import Segments

CONTEXT = BuildContext(FeatureWidths(3, 3))

Segment = tuple[int, int]
"""First and last frame, both included."""


def segmentations(frames: int, first: int = 0) -> Iterator[tuple[Segment, ...]]:
    """Yield all ways to divide the frames from `first` on into background and segments."""
    if first == frames:
        yield ()
        return
    yield from segmentations(frames, first + 1)
    for last in range(first, frames):
        for rest in segmentations(frames, last + 1):
            yield ((first, last), *rest)


def score(potentials: list[list[float]], segments: tuple[Segment, ...]) -> float:
    """Return the score of a segmentation; potentials are background, start, inside, end of each frame."""
    covered = {frame for first, last in segments for frame in range(first, last + 1)}
    total = sum(row[0] for frame, row in enumerate(potentials) if frame not in covered)
    for first, last in segments:
        inside = sum(potentials[frame][2] for frame in range(first, last + 1))
        total += potentials[first][1] + inside + potentials[last][3]
    return total


def log_sum(scores: list[float]) -> float:
    top = max(scores)
    return top + math.log(sum(math.exp(one - top) for one in scores))


def mask_of(lengths: list[int], frames: int) -> Tensor:
    return torch.arange(frames)[None] < torch.tensor(lengths)[:, None]


def drawn(lengths: list[int], frames: int, *, seed: int = 0, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return random potentials (B, T, 4) in float64, also in padding, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), frames, 4)
    potentials = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    return potentials, mask_of(lengths, frames)


def truth(relevant: Tensor, windows: list[list[tuple[float, float]]], mask: Tensor) -> Target:
    """Return targets with these relevant frames and windows, in frames."""
    most = max(1, *map(len, windows))
    spans, real = torch.zeros(len(windows), most, 2), torch.zeros(len(windows), most, dtype=torch.bool)
    for row, listed in enumerate(windows):
        count = int(mask[row].sum())
        for index, (start, end) in enumerate(listed):
            spans[row, index] = torch.tensor([(start + end) / 2 / count, (end - start) / count])
            real[row, index] = True
    none = torch.zeros(len(windows), 0, dtype=torch.long)
    return Target(spans, real, relevant, none, none)


def outcome_of(potentials: Tensor, mask: Tensor, target: Target) -> Outcome:
    rows = len(mask)
    batch = Batch(
        torch.zeros(*mask.shape, 3),
        mask,
        torch.zeros(rows, 1, 3),
        torch.ones(rows, 1, dtype=torch.bool),
        torch.arange(rows),
    )
    none = torch.empty((0, rows, target.spans.shape[1]), dtype=torch.long)
    return Outcome(batch, target, {"segments": potentials}, {}, none)


def frames_of(windows: list[list[Segment]], mask: Tensor) -> Tensor:
    """Return the frames (B, T) of windows (first, last), both included."""
    relevant = torch.zeros_like(mask)
    for row, listed in enumerate(windows):
        for first, last in listed:
            relevant[row, first : last + 1] = True
    return cast("Tensor", relevant & mask)


def head(width=8, **options):
    activation = ReluPRelu().build()
    context = BlockContext(width, 2, 12, 0.0, activation, xavier, CONTEXT)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Segments(**options).build(context)


def memory_of(lengths, width=8):
    mask = mask_of(lengths, max(lengths))
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(*mask.shape, width, generator=generator)
    return Memory(torch.zeros(len(lengths), width), frames, torch.zeros_like(frames), mask)
