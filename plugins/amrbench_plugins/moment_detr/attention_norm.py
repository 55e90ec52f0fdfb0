"""Normalisation ahead of cross attention."""

from __future__ import annotations

from torch import Tensor, nn

from amrbench_plugins.moment_detr.slots import NormPart, Sizes


class Unchanged(nn.Module):
    """Leaves audio and text rows alone."""

    def audio(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows

    def text(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows


class Identity(NormPart):
    """No normalisation: audio and text meet in the scales they have."""

    use = "identity"

    def build(self, sizes: Sizes) -> nn.Module:
        """Return a module without weights."""
        return Unchanged()
