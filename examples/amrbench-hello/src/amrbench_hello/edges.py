"""Where moments start and end, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from amrbench.slots.blocks import BlockContext, Head, HeadPart, Memory
from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome


class EdgeHead(HeadPart):
    """Say for each frame whether a moment starts or ends there."""

    use = "edges"

    @property
    def provides(self) -> Mapping[str, str]:
        return {"edges": "B T 2"}

    def build(self, context: BlockContext) -> nn.Module:
        return EdgeModule(context.width)


class EdgeModule(Head, nn.Module):
    """Two logits for each frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def of_memory(self, memory: Memory) -> dict[str, Tensor]:
        """Return "edges" (B, T, 2): log odds of a start and of an end."""
        return {"edges": self.linear(memory.frames)}


class EdgeLoss(LossPart):
    """Cross-entropy of the edges with bumps around the true starts and ends."""

    use = "edges"
    requires = frozenset({"edges"})

    spread: float = Field(1.0, gt=0, description="width of a bump in frames (standard deviation)")

    def build(self, context: BuildContext) -> nn.Module:
        return EdgeCriterion(self.weight, self.spread)


class EdgeCriterion(nn.Module):
    """See `EdgeLoss`."""

    def __init__(self, weight: float, spread: float) -> None:
        super().__init__()
        self.weight = weight
        self.spread = spread

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        mask = outcome.batch.audio_mask
        target = bumps(outcome.target.spans, outcome.target.spans_mask, mask, self.spread)
        entropy = functional.binary_cross_entropy_with_logits(
            outcome.tensors["edges"], target, reduction="none"
        )
        return {"edges": self.weight * entropy[mask].mean()}


def bumps(spans: Tensor, spans_mask: Tensor, mask: Tensor, spread: float) -> Tensor:
    """Return (B, T, 2): how near each frame is to a start and to an end, in [0, 1].

    Args:
        spans: (B, W, 2) centre and width as shares of the audio.
        spans_mask: (B, W) True for real spans.
        mask: (B, T) True for real frames.
        spread: Standard deviation of a bump in frames.
    """
    centre, width = spans.unbind(-1)
    edges = torch.stack([centre - width / 2, centre + width / 2], -1)  # (B, W, 2)
    positions = edges * mask.sum(1)[:, None, None]  # in frames
    frames = torch.arange(mask.shape[1], device=mask.device) + 0.5
    distance = frames[None, None, :, None] - positions[:, :, None]  # (B, W, T, 2)
    near = torch.exp(-(distance / spread).square() / 2) * spans_mask[:, :, None, None]
    return near.amax(1)
