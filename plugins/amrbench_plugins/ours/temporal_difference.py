"""Fusion of each frame with its differences from the neighbouring frames (report, section 2.2).

From the report: the differences from the frame before and from the frame after, fused by attention and a
gated linear unit, on the projected audio and again on the output of the encoder. Our choice, since the report
says no more: the attention goes over the three sources of one frame (itself and two differences), each with
a norm and a learned code; four heads; the gated linear unit reads the frame and the result of the attention;
its output is added to the frame and starts at zero. Dropout is that of the model. Two other forms measure
what this attention is worth: one over the sources of all frames, and none, where the unit reads both
differences itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import Memory
from amrbench_plugins.moment_detr.layers import attention, bias_of, dropout, split_heads, xavier

SOURCES = 3
INIT_STD = 0.02


def differences(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, T, D) differences from the frame before and from the frame after.

    Zero where there is no such frame; see `present`. Neighbours are close, so in half precision their
    difference is as exact as they are.

    Args:
        x: (B, T, D), zero in padding.
        mask: (B, T).
    """
    before, after = F.pad(x, (0, 0, 1, -1)), F.pad(x, (0, 0, -1, 1))
    _, has_before, has_after = present(mask).unbind(-1)
    return (x - before) * has_before[..., None], (x - after) * has_after[..., None]


def present(mask: Tensor) -> Tensor:
    """Return (B, T, 3): whether frame, difference before and difference after exist.

    The frame itself always does, because attention needs at least one key, in padding too.
    """
    before, after = F.pad(mask, (1, -1)), F.pad(mask, (-1, 1))
    return torch.stack([torch.ones_like(mask), mask & before, mask & after], -1)


class SourceAttention(nn.Module):
    """Attention of each frame to its own three sources."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(SOURCES))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.heads = heads
        xavier(self)
        self.codes = nn.Parameter(INIT_STD * torch.randn(SOURCES, width))

    def forward(self, memory: Memory) -> Tensor:
        """Map frames (B, T, D), zero in padding, to (B, T, D)."""
        frames, coded = self.sources(memory)
        query = self._split(self.query(frames))
        key, value = self._split(self.key(coded)), self._split(self.value(coded))
        # Sums of products: with three keys, matrix products would be too small to be fast.
        logits = (query * key).sum(-1) * query.shape[-1] ** -0.5  # (3, B, T, H)
        bias = bias_of(present(memory.mask), logits.dtype).movedim(-1, 0)
        weights = (logits + bias[..., None]).softmax(0)
        return self.out((weights.to(value.dtype)[..., None] * value).sum(0).flatten(2))  # type: ignore[no-any-return]

    def sources(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the normalised frames (B, T, D), and all sources with their codes (3, B, T, D)."""
        x = memory.frames
        given = (x, *differences(x, memory.mask))
        normalised = [norm(source) for norm, source in zip(self.norms, given, strict=True)]
        return normalised[0], torch.stack(normalised) + self.codes[:, None, None]

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1)


class TimeAttention(SourceAttention):
    """Attention of each frame to the sources of all frames; queries and keys have positions."""

    @override
    def forward(self, memory: Memory) -> Tensor:
        frames, coded = self.sources(memory)
        real = present(memory.mask) & memory.mask[..., None]
        real[:, 0, 0] = True  # So that a query of an empty recording has a key, as in padding.
        keys = (coded + memory.positions).movedim(0, 1).flatten(1, 2)  # (B, 3 T, D)
        values = coded.movedim(0, 1).flatten(1, 2)
        query = split_heads(self.query(frames + memory.positions), self.heads)
        key, value = split_heads(self.key(keys), self.heads), split_heads(self.value(values), self.heads)
        bias = bias_of(real.mT.flatten(1), query.dtype)[:, None, None]
        return self.out(attention(query, key, value, bias, p=0.0, training=False))  # type: ignore[no-any-return]


class BothDifferences(nn.Module):
    """The two differences of each frame, each normalised, concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(SOURCES - 1))

    def forward(self, memory: Memory) -> Tensor:
        """Map frames (B, T, D), zero in padding, to (B, T, 2D); zero where there is no neighbour."""
        exists = present(memory.mask)[..., 1:, None].unbind(2)
        sources = zip(self.norms, differences(memory.frames, memory.mask), exists, strict=True)
        return torch.cat([norm(difference) * real for norm, difference, real in sources], -1)


class DifferenceFusion(nn.Module):
    """Adds to each frame the output of a gated linear unit, which reads the frame and its sources."""

    def __init__(self, attention: nn.Module, width: int, *, sources_width: int, p: float) -> None:
        """`attention` maps a memory with frames (B, T, D), zero in padding, to (B, T, sources_width)."""
        super().__init__()
        self.attention = attention
        self.gated = nn.Linear(width + sources_width, 2 * width)
        self.p = p
        xavier(self.gated)
        nn.init.zeros_(self.gated.bias)
        with torch.no_grad():
            self.gated.weight[:width] = 0  # all but the gates, so that the first output is zero

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with other frames, zero in padding."""
        mask = memory.mask[..., None]
        frames = memory.frames.masked_fill(~mask, 0)
        sources = self.attention(memory.with_frames(frames))
        change = F.glu(self.gated(torch.cat([frames, sources.to(frames.dtype)], -1)))
        return memory.with_frames(frames + dropout(change, self.p, self.training) * mask)
