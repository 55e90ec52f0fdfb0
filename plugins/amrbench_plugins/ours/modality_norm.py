"""Layer normalisation of audio and text, each for itself, ahead of cross attention (report, section 2.7).

From the report: the two norms. From the team's public code: positions are added after the norm, values
are normalised too, the residual keeps the audio as it was, and every layer has norms of its own. That code
also changes the second residual of the layer, which the report does not say; here it stays the baseline's.
A norm on one side alone is our choice, to see what each is worth.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from amrbench.slots.blocks import AttentionNorm, BlockContext, NormPart
from amrbench_plugins.ours.lists import each_once

Side = Literal["audio", "text"]


class ModalityNorm(AttentionNorm, nn.Module):
    """One layer norm for audio rows, one for dummies and words; or one of them alone."""

    def __init__(self, width: int, sides: Collection[Side]) -> None:
        super().__init__()
        self.audio_norm = nn.LayerNorm(width) if "audio" in sides else nn.Identity()
        self.text_norm = nn.LayerNorm(width) if "text" in sides else nn.Identity()

    def audio(self, rows: Tensor) -> Tensor:
        """Return (B, T, D), ready to be queries."""
        return self.audio_norm(rows)  # type: ignore[no-any-return]

    def text(self, rows: Tensor) -> Tensor:
        """Return (B, S + L, D), ready to be keys and values."""
        return self.text_norm(rows)  # type: ignore[no-any-return]


class Modality(NormPart):
    """One layer norm for the audio and one for the text, so that neither outweighs the other by its scale."""

    use = "modality"
    sides: Annotated[tuple[Side, ...], AfterValidator(each_once)] = Field(
        ("audio", "text"), min_length=1, description="what is normalised"
    )

    def build(self, context: BlockContext) -> nn.Module:
        """Return the norms of one layer."""
        return ModalityNorm(context.width, self.sides)
