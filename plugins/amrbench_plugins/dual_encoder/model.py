"""A dual encoder: audio frames and the sentence in one space, and a search over their similarity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amrbench.part import budgeted
from amrbench.slots.model import ModelPart
from amrbench.types import Batch, BuildContext, Encoded, Prediction
from amrbench_plugins.dual_encoder.windows import SlidingWindows, quantiles

SIMILARITY = "similarity"
"""(B, T) log odds that a frame belongs to a moment of the sentence."""


class DualEncoder(ModelPart):
    """Slide windows over the similarity of each audio frame to the sentence; no decoder.

    A small network for each side maps into one space, in which the similarity is a cosine, as in CLAP for
    whole clips (Elizalde et al. 2023). Trained with `frame-bce`, it is the baseline that a detector has to
    beat: it compares each frame with the sentence, and no frame with others.
    """

    use = "dual-encoder"

    width: int = budgeted(256, "width", ge=1, description="width of the shared space")
    hidden: int = Field(256, ge=1, description="width of the hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the hidden layers")
    count: int = Field(10, ge=1, description="windows that are predicted for a query")
    lengths: int = Field(8, ge=1, description="number of window lengths: quantiles of the training windows")
    widths: tuple[float, ...] = Field(
        (), description="window lengths as fractions of a recording, instead of the quantiles"
    )
    overlap: float = Field(0.5, ge=0, le=1, description="largest intersection over union of two predictions")

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {SIMILARITY: "B T"}

    @override
    def build(self, context: BuildContext) -> nn.Module:
        widths = torch.tensor(self.widths) if self.widths else quantiles(context.window_widths, self.lengths)
        with context.drawing():
            return DualEncoderModel(
                audio=self._encoder(context.features.audio, context.input_dropout),
                text=self._encoder(context.features.text, context.input_dropout),
                search=SlidingWindows(widths, count=self.count, overlap=self.overlap),
            )

    def _encoder(self, features: int, input_dropout: float) -> nn.Sequential:
        """Return a network of one hidden layer, (..., features) to (..., width)."""
        return nn.Sequential(
            nn.LayerNorm(features),
            nn.Dropout(input_dropout),
            nn.Linear(features, self.hidden),
            nn.GELU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, self.width),
        )


@dataclass(frozen=True)
class _State:
    similarity: Tensor
    mask: Tensor


class DualEncoderModel(nn.Module):
    """Compares audio frames with the mean of the words."""

    def __init__(self, audio: nn.Module, text: nn.Module, search: SlidingWindows) -> None:
        """Take the two networks, both (..., features) to (..., D), and the search."""
        super().__init__()
        self.audio = audio
        self.text = text
        self.search = search
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))  # few frames belong to a moment

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compare each frame with the sentence; there are no views."""
        words = batch.text_mask[..., None]
        sentence = (self.text(batch.text) * words).sum(1) / words.sum(1)
        audio = functional.normalize(self.audio(batch.audio), dim=-1)
        cosine = (audio @ functional.normalize(sentence, dim=-1)[..., None]).squeeze(-1)
        similarity = cosine * self.scale + self.bias
        return Encoded(_State(similarity, batch.audio_mask), {SIMILARITY: similarity})

    def decode(self, encoded: Encoded) -> Prediction:
        """Return the windows with the highest contrast to the rest of their recording."""
        state: _State = encoded.state
        windows = self.search(state.similarity, state.mask)
        frames = state.mask.sum(1, keepdim=True)
        spans = torch.stack([(windows.starts + windows.ends) / 2, windows.ends - windows.starts], -1)
        return Prediction(spans / frames[..., None], windows.scores, {})
