"""The encoder of true moments; it needs the targets, so it belongs to a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import Tokens, learned_tokens
from amrbench_plugins.moment_detr.layers import EncoderLayer, encode


@dataclass(frozen=True)
class EncodedMoments:
    """Recordings, each encoded as its moment and the rest."""

    inside: Tensor
    """(B, D) one vector for the frames inside."""
    outside: Tensor
    """(B, D) one vector for the frames outside."""
    frames: Tensor
    """(B, T, D) each frame, encoded with those of its own side."""


class MomentEncoder(nn.Module):
    """Encodes the frames inside the moment and those outside separately, each with a learned token.

    The two sides pass the layers as one sequence in which neither sees the other. Stochastic depth is drawn
    for each side, as in two passes.
    """

    def __init__(self, width: int, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.position = nn.Parameter(torch.randn(width))
        self.layers = nn.ModuleList(layers)

    def forward(self, audio: Tokens, relevant: Tensor) -> EncodedMoments:
        """Encode audio of T rows; `relevant` (B, T) says which are inside."""
        batch = relevant.shape[0]
        both = learned_tokens(self.token.expand(2, -1), self.position.expand(2, -1), batch)
        tokens = both.followed_by(audio)
        sides = torch.arange(2, device=relevant.device).expand(batch, -1)
        sides = torch.cat([sides, (~relevant).long()], 1)  # 0 inside, 1 outside
        x = encode(self.layers, tokens, sides=sides)
        return EncodedMoments(x[:, 0], x[:, 1], x[:, 2:])
