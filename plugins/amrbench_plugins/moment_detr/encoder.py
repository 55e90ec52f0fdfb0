"""The transformer encoder of the baseline, and the absence of an encoder."""

from __future__ import annotations

from torch import Tensor, nn

from amrbench.slots.blocks import Tokens
from amrbench_plugins.moment_detr.layers import EncoderLayer, encode


class TransformerEncoder(nn.Module):
    """A stack of self-attention layers, normalised after each addition; no norm at the end."""

    def __init__(self, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its `first` rows; then the last layer computes no others."""
        return encode(self.layers, tokens, first=first)


class UnchangedRows(nn.Module):
    """Returns its rows."""

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows."""
        return tokens.features[:, :first]
