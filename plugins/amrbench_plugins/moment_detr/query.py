"""The queries and anchors that the baseline's decoder starts from."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import AnchorsPart, BlockContext, Queries, QueryPart, build_at
from amrbench.types import Tensors


class LearnedAnchors(nn.Module):
    """Learned spans, the same for all recordings."""

    def __init__(self, logits: Tensor) -> None:
        """`logits` (Q, 2) are centre and width before the sigmoid."""
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self) -> Tensor:
        """Return (Q, 2)."""
        return self.logits.sigmoid()


class RandomAnchors(AnchorsPart):
    """Learned anchors that start at random: the sigmoid of standard normal numbers."""

    use = "random"
    count: int = Field(10, ge=1, description="queries, which is also the number of predicted moments")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return LearnedAnchors(torch.randn(self.count, 2))


class EmptyQueries(nn.Module):
    """Anchors with empty contents."""

    def __init__(self, anchors: nn.Module, width: int) -> None:
        super().__init__()
        self.anchors = anchors
        self.width = width

    def forward(self, tensors: Tensors) -> Queries:
        """Return zeros (B, Q, D) with the anchors."""
        audio, anchors = tensors["audio"], self.anchors()
        content = audio.new_zeros(audio.shape[0], anchors.shape[0], self.width)
        return Queries(content, anchors.expand(audio.shape[0], -1, -1))


class Zeros(QueryPart):
    """Queries that differ by their anchors alone; their content starts at zero (CG-DETR)."""

    use = "zeros"
    requires = frozenset({"audio"})
    anchors: AnchorsPart = Field(
        "random", validate_default=True, description="spans that the queries start from"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return EmptyQueries(build_at(self.anchors, "anchors", context), context.width)
