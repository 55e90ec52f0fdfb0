"""Refinements of the memory that belong to the baseline."""

from __future__ import annotations

from torch import nn

from amrbench_plugins.moment_detr.slots import Memory, RefinePart, Sizes


class TokenAdded(nn.Module):
    """Adds the token to every frame."""

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with changed frames; the token stays."""
        return memory.with_frames(memory.frames + memory.token[:, None])


class AddGlobal(RefinePart):
    """Add the encoded global token to every frame."""

    use = "add-global"
    needs_token = True

    def build(self, sizes: Sizes) -> nn.Module:
        """Return the refinement; it has no weights."""
        return TokenAdded()
