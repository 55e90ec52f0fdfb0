"""Fusion of each frame with its differences from the frames beside it (report, section 2.2).

From the report: the differences from the frame before and from the frame after, fused by attention and a
gated linear unit, on the projected audio and again on what the encoder gives. Our choice, since the report
says no more: the attention goes over the three sources of one frame (itself and two differences), each with
a norm and a learned code; four heads; the gated linear unit reads the frame and what was attended to; its
result is added to the frame and starts at zero. Dropout is that of the model. To see what the attention is
worth, the unit may read both differences instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from amrbench.errors import RecipeError
from amrbench.slots.blocks import BlockContext, Memory, RefinePart
from amrbench_plugins.moment_detr.layers import bias_of, dropout, xavier

SOURCES = 3
SPREAD = 0.02


def differences(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, T, D) differences from the frame before and from the frame after.

    Zero where there is no such frame; see `present`. Neighbours differ by little, so their difference is as
    exact in half precision as they are.

    Args:
        x: (B, T, D), zero in padding.
        mask: (B, T).
    """
    before, after = F.pad(x, (0, 0, 1, -1)), F.pad(x, (0, 0, -1, 1))
    _, has_before, has_after = present(mask).unbind(-1)
    return (x - before) * has_before[..., None], (x - after) * has_after[..., None]


def present(mask: Tensor) -> Tensor:
    """Return (B, T, 3): which of frame, difference before and difference after there are.

    The frame itself is always there, so that attention has something to look at in padding too.
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
        self.codes = nn.Parameter(SPREAD * torch.randn(SOURCES, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D), zero in padding, to (B, T, D)."""
        sources = [norm(each) for norm, each in zip(self.norms, (x, *differences(x, mask)), strict=True)]
        told = torch.stack(sources, 2) + self.codes
        query = self._split(self.query(sources[0]))
        key, value = self._split(self.key(told)), self._split(self.value(told))
        logits = torch.einsum("bthe,btjhe->bthj", query, key) * query.shape[-1] ** -0.5
        weights = (logits + bias_of(present(mask), logits.dtype)[:, :, None]).softmax(-1)
        return self.out(torch.einsum("bthj,btjhe->bthe", weights.to(value.dtype), value).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1)


class BothDifferences(nn.Module):
    """The two differences of each frame side by side, each normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(SOURCES - 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D), zero in padding, to (B, T, 2D); zero where there is no frame to differ from."""
        there = present(mask)[..., 1:, None].unbind(2)
        found = zip(self.norms, differences(x, mask), there, strict=True)
        return torch.cat([norm(each) * has for norm, each, has in found], -1)


class DifferenceFusion(nn.Module):
    """Adds to each frame what a gated linear unit makes of it and of what its sources say."""

    def __init__(self, attention: nn.Module, width: int, *, seen: int, share: float) -> None:
        """`attention` maps frames (B, T, D) and their mask to (B, T, seen)."""
        super().__init__()
        self.attention = attention
        self.gated = nn.Linear(width + seen, 2 * width)
        self.share = share
        xavier(self.gated)
        nn.init.zeros_(self.gated.bias)
        with torch.no_grad():
            self.gated.weight[:width] = 0

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with other frames, zero in padding."""
        mask = memory.mask[..., None]
        frames = memory.frames.masked_fill(~mask, 0)
        seen = self.attention(frames, memory.mask)
        change = F.glu(self.gated(torch.cat([frames, seen.to(frames.dtype)], -1)))
        return memory.with_frames(frames + dropout(change, self.share, self.training) * mask)


class TemporalDifference(RefinePart):
    """Fuse each frame with its differences from the frames beside it (attention and a gated linear unit)."""

    use = "temporal-difference"
    attention_heads: int = Field(
        4,
        ge=0,
        description="heads of the attention to the three sources; 0 for a unit that reads them itself",
    )

    def build(self, context: BlockContext) -> nn.Module:
        """Return the refinement; at first it changes nothing."""
        width, heads = context.width, self.attention_heads
        if heads == 0:
            return DifferenceFusion(BothDifferences(width), width, seen=2 * width, share=context.dropout)
        if width % heads:
            raise RecipeError(
                f"{context.build.path}: attention_heads {heads} does not divide width {width}; "
                "give a divisor of the width."
            )
        return DifferenceFusion(SourceAttention(width, heads), width, seen=width, share=context.dropout)
