"""The baseline's attention prior: none."""

from __future__ import annotations

from torch import Tensor, nn

from amrbench_plugins.moment_detr.slots import PriorPart, Sizes


class NoPrior(nn.Module):
    """Favours no frame."""

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return a zero of shape (1, 1, 1, 1)."""
        return anchors.new_zeros(1, 1, 1, 1)


class Flat(PriorPart):
    """No prior: queries attend to frames by content and position alone."""

    use = "flat"

    def build(self, sizes: Sizes) -> nn.Module:
        """Return a module without weights."""
        return NoPrior()
