"""The baseline's choices for the small slots: activation, norm, refinement, temporal embedding, prior."""

from __future__ import annotations

from torch import Tensor, nn

from amrbench.slots.blocks import (
    Activation,
    ActivationPart,
    AttentionNorm,
    BlockContext,
    Memory,
    NormPart,
    PriorPart,
    RefinePart,
    TemporalEmbedding,
    TemporalEmbeddingPart,
)
from amrbench_plugins.moment_detr.layers import PReLU
from amrbench_plugins.moment_detr.positions import temporal_columns


class _ReluAndPRelu:
    def mlp(self) -> nn.Module:
        return nn.ReLU()

    def feedforward(self) -> nn.Module:
        return PReLU()


class ReluPRelu(ActivationPart):
    """ReLU in projections and small perceptrons, PReLU with one slope a layer in feed-forward parts."""

    use = "relu-prelu"

    def build(self) -> Activation:
        """Return the maker of both."""
        return _ReluAndPRelu()


class NoNorm(AttentionNorm, nn.Module):
    """Leaves audio and text in the scales they have."""


class Identity(NormPart):
    """No normalisation: audio and text are compared in the scales they have."""

    use = "identity"

    def build(self, context: BlockContext) -> nn.Module:
        """Return a module without weights."""
        return NoNorm()


class TokenAdded(nn.Module):
    """Adds the token to every frame."""

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with changed frames; the token stays."""
        return memory.with_frames(memory.frames + memory.token[:, None])


class AddGlobal(RefinePart):
    """Add the encoded global token to every frame."""

    use = "add-global"
    needs_token = True

    def build(self, context: BlockContext) -> nn.Module:
        """Return the refinement; it has no weights."""
        return TokenAdded()


class EndpointColumns(TemporalEmbedding, nn.Module):
    """Start and end of each frame as shares of the recording, as two more input features."""

    columns_width = 2

    def columns(self, mask: Tensor) -> Tensor:
        """Return (B, T, 2)."""
        return temporal_columns(mask)


class Tef(TemporalEmbeddingPart):
    """Temporal endpoint features: start and end of each frame, before its audio features."""

    use = "tef"

    def build(self, context: BlockContext) -> nn.Module:
        """Return the embedding; it has no weights."""
        return EndpointColumns()


class NoPrior(nn.Module):
    """Favours no frame."""

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return a zero of shape (1, 1, 1, 1)."""
        return anchors.new_zeros(1, 1, 1, 1)


class Flat(PriorPart):
    """No prior: queries attend to frames by content and position alone."""

    use = "flat"

    def build(self, context: BlockContext) -> nn.Module:
        """Return a module without weights."""
        return NoPrior()
