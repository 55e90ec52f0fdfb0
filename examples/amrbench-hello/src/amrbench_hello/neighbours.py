"""An encoder block that adds a learned share of its neighbours to each frame before another encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from amrbench.slots.blocks import BlockContext, EncoderPart, Tokens


class Neighbours(EncoderPart):
    """Add a learned share of its neighbours to each frame, and pass the sum to another encoder."""

    use = "neighbours"
    example: ClassVar[Mapping[str, Any]] = {"around": {"use": "transformer", "layers": 1}}
    around: EncoderPart = Field(description="encoder of the mixed frames")

    def build(self, context: BlockContext) -> nn.Module:
        return NeighbourEncoder(self.around.build(context), context.width)


class NeighbourEncoder(nn.Module):
    """See `Neighbours`."""

    def __init__(self, around: nn.Module, width: int) -> None:
        super().__init__()
        self.around = around
        self.gate = nn.Parameter(torch.zeros(width))  # Zero: training starts from the wrapped encoder.

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only the first rows; row 0 is a special token and has no neighbours."""
        special, frames = tokens.features[:, :1], tokens.features[:, 1:]
        frames = frames * tokens.mask[:, 1:, None]  # Padding must not reach real frames.
        neighbours = torch.zeros_like(frames)
        neighbours[:, 1:] += frames[:, :-1]
        neighbours[:, :-1] += frames[:, 1:]
        mixed = torch.cat([special, frames + self.gate * neighbours / 2], 1)
        return self.around(tokens.with_features(mixed), first=first)
