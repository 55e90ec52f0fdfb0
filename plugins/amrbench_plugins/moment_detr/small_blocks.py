"""The baseline's choices for the small slots: activation, norm, refinement, temporal embedding, prior."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

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


class _ReluAndPRelu(Activation):
    @override
    def mlp(self) -> nn.Module:
        return nn.ReLU()

    @override
    def feedforward(self) -> nn.Module:
        return PReLU()


class ReluPRelu(ActivationPart):
    """ReLU in projections and small perceptrons, PReLU with one slope a layer in feed-forward parts."""

    use = "relu-prelu"

    @override
    def build(self) -> Activation:
        return _ReluAndPRelu()


class NoNorm(AttentionNorm, nn.Module):
    """Leaves audio and text as they are."""


class Identity(NormPart):
    """No normalisation: audio and text are compared at the scales they have."""

    use = "identity"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return NoNorm()


class TokenAddition(nn.Module):
    """Adds the token to every frame."""

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with changed frames and the same token."""
        return memory.with_frames(memory.frames + memory.token[:, None])


class AddGlobal(RefinePart):
    """Add the encoded global token to every frame."""

    use = "add-global"
    needs_token = True

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return TokenAddition()


class EndpointColumns(TemporalEmbedding, nn.Module):
    """Start and end of each frame as fractions of the recording, as two additional input features."""

    columns_width = 2

    @override
    def columns(self, mask: Tensor) -> Tensor:
        return temporal_columns(mask)


class Tef(TemporalEmbeddingPart):
    """Temporal endpoint features: start and end of each frame, put before its audio features."""

    use = "tef"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return EndpointColumns()


class NoPrior(nn.Module):
    """Prefers no frame."""

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return a zero of shape (1, 1, 1, 1)."""
        return anchors.new_zeros(1, 1, 1, 1)


class Flat(PriorPart):
    """No prior: queries attend to frames by content and position alone."""

    use = "flat"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return NoPrior()
