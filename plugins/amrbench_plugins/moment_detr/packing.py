"""The real rows of a padded batch, one after another, so that padding costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Which rows of a tensor (M, ...) are taken, as sequences whose rows follow each other."""

    rows: Tensor | None
    """(N,) numbers of the rows, none of them twice; None for all rows in their order."""
    lengths: tuple[int, ...]
    """Rows of each sequence; their sum is N."""

    @classmethod
    def of(cls, mask: Tensor, sides: Tensor | None = None) -> Packing:
        """Take the real rows of a mask (B, n) from B * n rows. Waits for the device.

        Each sample is a sequence, or two of them if `sides` (B, n) has the side of each row, 0 or 1.
        """
        sequence = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)
        if sides is not None:
            sequence = 2 * sequence + sides
        real = mask.flatten().nonzero()[:, 0]
        sequence, order = sequence.flatten()[real].sort(stable=True)
        counts = sequence.bincount()
        lengths = tuple(counts[counts > 0].tolist())
        whole = sides is None and len(real) == mask.numel()
        return cls(None if whole else real[order], lengths)

    def drop(self, p: float) -> Packing:
        """Return the same without some sequences: each is left out with probability p."""
        kept = torch.empty(len(self.lengths)).bernoulli_(1 - p).bool()
        if kept.all():
            return self
        lengths = torch.tensor(self.lengths)
        rows = kept.repeat_interleave(lengths).nonzero()[:, 0]
        rows = rows if self.rows is None else self.rows[rows]
        return Packing(rows, tuple(lengths[kept].tolist()))

    def take(self, x: Tensor) -> Tensor:
        """Return (N, ...) of (M, ...)."""
        return x if self.rows is None else x.index_select(0, self.rows)

    def add(self, x: Tensor, rows: Tensor, scale: float = 1.0) -> Tensor:
        """Return x (M, ...) with these rows (N, ...) times a number added in their places."""
        if self.rows is None:
            return torch.add(x, rows, alpha=scale)
        return x.index_add(0, self.rows, rows, alpha=scale)
