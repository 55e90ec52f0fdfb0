"""Register tokens in an encoder (report, section 2.3).

From the report: learned tokens that take up spare attention in the encoder that sums up the text and in
the one before the decoder, dropped right after. From the source that it cites (Darcet et al. 2024): four
of them, without positions, behind the special row. From the team's public code: normal numbers of spread
0.02 to begin with (much smaller ones would start nearly equal, and equal registers stay equal).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from amrbench.slots.blocks import BlockContext, Encoder, EncoderPart, Tokens, learned_tokens

SPREAD = 0.02


class RegisteredEncoder(nn.Module):
    """An encoder that sees learned rows between the special first row and the others."""

    def __init__(self, around: nn.Module, registers: Tensor) -> None:
        """`registers` (R, D) are the first values of the rows."""
        super().__init__()
        self.around = around
        self.registers = nn.Parameter(registers)

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows."""
        count = self.registers.shape[0]
        wanted = None if first is None else first + count
        rows = cast("Encoder", self.around)(self._with_registers(tokens), first=wanted)
        return torch.cat([rows[:, :1], rows[:, 1 + count :]], 1)

    def _with_registers(self, tokens: Tokens) -> Tokens:
        learned = learned_tokens(self.registers, torch.zeros_like(self.registers), tokens.mask.shape[0])
        return _cut(tokens, 0, 1).followed_by(learned).followed_by(_cut(tokens, 1, None))


def _cut(tokens: Tokens, start: int, stop: int | None) -> Tokens:
    rows = slice(start, stop)
    return Tokens(tokens.features[:, rows], tokens.positions[:, rows], tokens.mask[:, rows])


class Registers(EncoderPart):
    """Learned rows that take up spare attention inside another encoder and are dropped after it."""

    use = "registers"
    example: ClassVar[Mapping[str, Any]] = {"count": 3, "around": {"use": "transformer", "layers": 2}}
    count: int = Field(4, ge=1, description="number of registers")
    around: EncoderPart = Field(description="the encoder that sees them")

    def build(self, context: BlockContext) -> nn.Module:
        """Return the encoder with its registers."""
        # At its own place and first, so that it starts as it would without registers.
        around = self.around.build(context)
        return RegisteredEncoder(around, SPREAD * torch.randn(self.count, context.width))
