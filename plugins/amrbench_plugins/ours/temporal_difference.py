"""Fusion of each frame with its differences from the neighbouring frames (report, section 2.2).

From the report: the differences from the frame before and from the frame after, fused by attention and a
gated linear unit, on the projected audio and again on the output of the encoder. Our choice, since the report
says no more: the attention goes over the three sources of one frame (itself and two differences), each with
a norm and a learned code; four heads; the gated linear unit reads the frame and the result of the attention;
its output is added to the frame and starts at zero. Dropout is that of the model. An ablation measures what
the attention is worth: the unit then reads both differences itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.slots.blocks import Memory
from amrbench_plugins.moment_detr.layers import bias_of, dropout, xavier

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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D), zero in padding, to (B, T, D)."""
        sources = [norm(source) for norm, source in zip(self.norms, (x, *differences(x, mask)), strict=True)]
        coded = torch.stack(sources) + self.codes[:, None, None]  # (3, B, T, D)
        query = self._split(self.query(sources[0]))
        key, value = self._split(self.key(coded)), self._split(self.value(coded))
        # Sums of products: with three keys, matrix products would be too small to be fast.
        logits = (query * key).sum(-1) * query.shape[-1] ** -0.5  # (3, B, T, H)
        bias = bias_of(present(mask), logits.dtype).movedim(-1, 0)
        weights = (logits + bias[..., None]).softmax(0)
        return self.out((weights.to(value.dtype)[..., None] * value).sum(0).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1)


class BothDifferences(nn.Module):
    """The two differences of each frame, each normalised, concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(SOURCES - 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D), zero in padding, to (B, T, 2D); zero where there is no neighbour."""
        exists = present(mask)[..., 1:, None].unbind(2)
        sources = zip(self.norms, differences(x, mask), exists, strict=True)
        return torch.cat([norm(difference) * real for norm, difference, real in sources], -1)


class DifferenceFusion(nn.Module):
    """Adds to each frame the output of a gated linear unit, which reads the frame and its sources."""

    def __init__(self, attention: nn.Module, width: int, *, sources_width: int, p: float) -> None:
        """`attention` maps frames (B, T, D) and their mask to (B, T, sources_width)."""
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
        sources = self.attention(frames, memory.mask)
        change = F.glu(self.gated(torch.cat([frames, sources.to(frames.dtype)], -1)))
        return memory.with_frames(frames + dropout(change, self.p, self.training) * mask)
