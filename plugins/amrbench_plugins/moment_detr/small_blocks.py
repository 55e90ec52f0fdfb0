"""The small modules of the baseline: activation, norm, refinement, temporal embedding, prior."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import Activation, AttentionNorm, Memory, TemporalEmbedding
from amrbench_plugins.moment_detr.layers import PReLU
from amrbench_plugins.moment_detr.positions import temporal_columns


class ReluAndPRelu(Activation):
    """ReLU in perceptrons, PReLU in feed-forward networks."""

    @override
    def mlp(self) -> nn.Module:
        return nn.ReLU()

    @override
    def feedforward(self) -> nn.Module:
        return PReLU()


class NoNorm(AttentionNorm, nn.Module):
    """Leaves audio and text as they are."""


class TokenAddition(nn.Module):
    """Adds the token to every frame."""

    def forward(self, memory: Memory) -> Memory:
        """Return the memory with changed frames and the same token."""
        return memory.with_frames(memory.frames + memory.token[:, None])


class EndpointColumns(TemporalEmbedding, nn.Module):
    """Start and end of each frame as fractions of the recording, as two additional input features."""

    columns_width = 2

    @override
    def columns(self, mask: Tensor) -> Tensor:
        return temporal_columns(mask)


class NoPrior(nn.Module):
    """Prefers no frame."""

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return a zero of shape (1, 1, 1, 1)."""
        return anchors.new_zeros(1, 1, 1, 1)
