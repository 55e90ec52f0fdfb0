"""Normalisation ahead of cross attention."""

from __future__ import annotations

from amrbench_plugins.moment_detr.slots import AttentionNorm, NormPart, Sizes


class Identity(NormPart):
    """No normalisation: audio and text meet in the scales they have."""

    use = "identity"

    def build(self, sizes: Sizes) -> AttentionNorm:
        """Return a module without weights."""
        return AttentionNorm()
