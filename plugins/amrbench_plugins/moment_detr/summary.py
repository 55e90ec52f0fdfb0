"""One vector for a whole sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.slots.blocks import Keys, Tokens, learned_tokens


class NoSummary(nn.Module):
    """Leaves the summary out."""

    def makers(self, keys: Keys) -> Mapping[str, Callable[[], Mapping[str, Tensor]]]:
        """Return nothing."""
        return {}


class TextSummary(nn.Module):
    """A learned token before the words, and with the same weights before the dummies.

    Words and dummies pass the encoder as one batch of 2B; each half has random masks of its own.
    """

    def __init__(self, width: int, encoder: nn.Module) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.position = nn.Parameter(torch.randn(width))
        self.encoder = encoder

    def makers(self, keys: Keys) -> Mapping[str, Callable[[], Mapping[str, Tensor]]]:
        """Return what makes each tensor of the summary; some of them make several at once."""
        tokens = partial(self.tokens, keys)
        makers = {"summary.text": tokens, "summary.keys": partial(self.keys, keys)}
        return makers | ({"summary.dummies": tokens} if keys.dummies else {})

    def tokens(self, keys: Keys) -> Mapping[str, Tensor]:
        """Return "summary.text" and, where there are dummies, "summary.dummies"; both (B, D)."""
        token = self.encoder(self._sequences(keys), first=1)[:, 0]
        if keys.dummies == 0:
            return {"summary.text": token}
        words, dummies = token.chunk(2)
        return {"summary.text": words, "summary.dummies": dummies}

    @torch.no_grad()
    def keys(self, keys: Keys) -> Mapping[str, Tensor]:
        """Return "summary.keys" (B, S + L, D): the encoded dummies and words, without gradient."""
        rows = self.encoder(self._sequences(keys))[:, 1:]
        if keys.dummies == 0:
            return {"summary.keys": rows}
        words, dummies = rows.chunk(2)
        count = keys.tokens.mask.shape[1] - keys.dummies
        return {"summary.keys": torch.cat([dummies[:, : keys.dummies], words[:, :count]], 1)}

    def _sequences(self, keys: Keys) -> Tokens:
        """Return (2B, 1 + max(S, L), D): the token, then words or dummies; (B, 1 + L, D) without dummies."""
        rows = keys.tokens.rows(slice(keys.dummies, None))
        if keys.dummies:
            dummies = keys.tokens.rows(slice(keys.dummies))
            length = max(rows.mask.shape[1], keys.dummies)
            rows = _padded(rows, length).stacked_on(_padded(dummies, length))
        token = learned_tokens(self.token[None], self.position[None], rows.mask.shape[0])
        return token.followed_by(rows)


def _padded(tokens: Tokens, length: int) -> Tokens:
    missing = length - tokens.mask.shape[1]
    return Tokens(
        F.pad(tokens.features, (0, 0, 0, missing)),
        F.pad(tokens.positions, (0, 0, 0, missing)),
        F.pad(tokens.mask, (0, missing)),
    )
