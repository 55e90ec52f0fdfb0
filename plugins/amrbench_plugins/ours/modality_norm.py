"""Separate layer norms of audio and text ahead of cross attention (report, section 2.7).

From the report: the two norms. From the team's public code: positions are added after the norm, values
are normalised too, the residual keeps the audio as it was, and every layer has norms of its own. That code
also changes the second residual of the layer, which the report does not mention; here it stays the
baseline's. Our choice: a norm may be left out, to measure what each is worth.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import AttentionNorm


class ModalityNorm(AttentionNorm, nn.Module):
    """One layer norm for audio rows, one for dummies and words; or one of them alone."""

    def __init__(self, width: int, sides: Collection[str]) -> None:
        """`sides` are those that are normalised: "audio", "text" or both."""
        super().__init__()
        self.audio_norm = nn.LayerNorm(width) if "audio" in sides else nn.Identity()
        self.text_norm = nn.LayerNorm(width) if "text" in sides else nn.Identity()

    @override
    def audio(self, rows: Tensor) -> Tensor:
        return self.audio_norm(rows)  # type: ignore[no-any-return]

    @override
    def text(self, rows: Tensor) -> Tensor:
        return self.text_norm(rows)  # type: ignore[no-any-return]
