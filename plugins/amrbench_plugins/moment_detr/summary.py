"""One vector for a whole sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.slots.blocks import Keys, Tokens, learned_tokens


class TextSummary(nn.Module):
    """A learned token in front of the words, and with the same weights in front of the dummies.

    Words and dummies go through the encoder as one batch of 2B, each with random masks of its own.
    """

    def __init__(self, width: int, encoder: nn.Module) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.position = nn.Parameter(torch.randn(width))
        self.encoder = encoder

    def tokens(self, keys: Keys) -> Mapping[str, Tensor]:
        """Return "summary.text" and, where there are dummies, "summary.dummies"; both (B, D)."""
        token = self.encoder(self._sequences(keys), first=1)[:, 0]
        if keys.dummies == 0:
            return {"summary.text": token}
        words, dummies = token.chunk(2)
        return {"summary.text": words, "summary.dummies": dummies}

    @torch.no_grad()
    def keys(self, keys: Keys) -> Mapping[str, Tensor]:
        """Return "summary.keys" (B, S + L, D), the encoded dummies and words, for teaching only."""
        rows = self.encoder(self._sequences(keys))[:, 1:]
        if keys.dummies == 0:
            return {"summary.keys": rows}
        words, dummies = rows.chunk(2)
        count = keys.tokens.mask.shape[1] - keys.dummies
        return {"summary.keys": torch.cat([dummies[:, : keys.dummies], words[:, :count]], 1)}

    def _sequences(self, keys: Keys) -> Tokens:
        dummies, words = _split(keys)
        rows = words if keys.dummies == 0 else _stacked(words, dummies)
        token = learned_tokens(self.token[None], self.position[None], rows.mask.shape[0])
        return token.followed_by(rows)


def _split(keys: Keys) -> tuple[Tokens, Tokens]:
    rows, count = keys.tokens, keys.dummies
    before = Tokens(rows.features[:, :count], rows.positions[:, :count], rows.mask[:, :count])
    after = Tokens(rows.features[:, count:], rows.positions[:, count:], rows.mask[:, count:])
    return before, after


def _stacked(one: Tokens, other: Tokens) -> Tokens:
    length = max(one.mask.shape[1], other.mask.shape[1])
    return _padded(one, length).stacked_on(_padded(other, length))


def _padded(rows: Tokens, length: int) -> Tokens:
    more = length - rows.mask.shape[1]
    return Tokens(
        F.pad(rows.features, (0, 0, 0, more)),
        F.pad(rows.positions, (0, 0, 0, more)),
        F.pad(rows.mask, (0, more)),
    )
