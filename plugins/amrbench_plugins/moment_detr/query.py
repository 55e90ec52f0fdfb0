"""The queries and anchors that the baseline's decoder starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import Queries
from amrbench.types import Tensors


class LearnedAnchors(nn.Module):
    """Learned spans, the same for all recordings."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(count, 2))  # of centre and width

    def forward(self) -> Tensor:
        """Return (Q, 2)."""
        return self.logits.sigmoid()


class EmptyQueries(nn.Module):
    """Anchors with empty contents."""

    def __init__(self, anchors: nn.Module) -> None:
        super().__init__()
        self.anchors = anchors

    def forward(self, tensors: Tensors) -> Queries:
        """Return zeros (B, Q, D) with the anchors."""
        audio, anchors = tensors["audio"], self.anchors()
        content = audio.new_zeros(len(audio), len(anchors), audio.shape[-1])
        return Queries(content, anchors.expand(len(audio), -1, -1))
