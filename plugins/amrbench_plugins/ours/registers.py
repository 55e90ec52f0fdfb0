"""Register tokens in an encoder (report, section 2.3).

From the report: learned tokens that take up spare attention in the encoder that summarises the text and in
the one before the decoder, dropped right after. From the source that it cites (Darcet et al. 2024): four
of them, without positions, after the special row. From the team's public code: they start as normal numbers
with a standard deviation of 0.02 (much smaller ones would start nearly equal, and equal ones stay equal).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import Encoder, Tokens, learned_tokens

INIT_STD = 0.02


class RegisteredEncoder(nn.Module):
    """An encoder that sees learned rows between the special first row and the others."""

    def __init__(self, around: nn.Module, count: int, width: int) -> None:
        super().__init__()
        self.around = around
        self.registers = nn.Parameter(INIT_STD * torch.randn(count, width))

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows."""
        count = self.registers.shape[0]
        registers = learned_tokens(self.registers, torch.zeros_like(self.registers), tokens.mask.shape[0])
        joined = tokens.rows(slice(1)).followed_by(registers).followed_by(tokens.rows(slice(1, None)))
        rows = cast("Encoder", self.around)(joined, first=None if first is None else first + count)
        return torch.cat([rows[:, :1], rows[:, 1 + count :]], 1)
