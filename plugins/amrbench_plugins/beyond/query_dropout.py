"""Decoder queries of which some are missing in training (arXiv 2603.02363).

Dropout of whole queries takes them out of the batch: what is dropped cannot be matched, adds nothing to a
loss, and costs no time. With the decoder `independent`, the moments of the others stay what they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import Queries
from amrbench.types import Tensors


class DroppedQueries(nn.Module):
    """Takes a random share of the queries of each recording away, in training."""

    def __init__(self, around: nn.Module, share: float) -> None:
        """`around` makes the queries; `share` of them, rounded down, are dropped."""
        super().__init__()
        self.around = around
        self.share = share

    def forward(self, tensors: Tensors) -> Queries:
        """Return the queries that are left, in their order; their number is the same in every step."""
        queries: Queries = self.around(tensors)
        if not self.training:
            return queries
        batch, count = queries.content.shape[:2]
        kept = count - int(count * self.share)
        drawn = torch.rand(batch, count, device=queries.content.device).argsort(1)
        chosen = drawn[:, :kept].sort(1).values[..., None]
        return Queries(_rows(queries.content, chosen), _rows(queries.anchors, chosen))


def _rows(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the rows (B, K, n) of values (B, Q, n) at an index (B, K, 1)."""
    return values.gather(1, chosen.expand(-1, -1, values.shape[-1]))
