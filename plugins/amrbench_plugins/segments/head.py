"""The potentials of the frames of a recording."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import Head, Memory

FIRST = (1.0, -2.0, 0.0, -2.0)
"""First potentials, about: background is likelier than foreground, and segments are few. Our choice."""


class SegmentsHead(Head, nn.Module):
    """A small convolutional network over frames; nothing is outside of the recording."""

    def __init__(self, width: int, hidden: int, reach: int, activation: nn.Module) -> None:
        """Take the width of frames, that of the hidden layer, and the frames on each side that it sees."""
        super().__init__()
        self.neighbours = nn.Conv1d(width, hidden, 2 * reach + 1, padding=reach)
        self.activation = activation
        self.linear = nn.Linear(hidden, len(FIRST))
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(FIRST))

    @override
    def of_memory(self, memory: Memory) -> Mapping[str, Tensor]:
        frames = memory.frames.masked_fill(~memory.mask[..., None], 0)
        hidden = self.activation(self.neighbours(frames.mT).mT)
        return {"segments": self.linear(hidden)}
