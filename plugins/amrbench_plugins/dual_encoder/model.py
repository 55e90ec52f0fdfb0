"""A dual encoder: audio rows and the sentence in one space, and a search over their similarity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from amrbench.part import budgeted
from amrbench.slots.model import ModelPart
from amrbench.types import Batch, BuildContext, Encoded, Prediction
from amrbench_plugins.dual_encoder.windows import SlidingWindows, quantiles

SIMILARITY = "similarity"
"""(B, T) log odds that a frame is asked for."""


class DualEncoder(ModelPart):
    """Slide windows over the similarity of each audio row and the sentence; no decoder.

    Both sides pass through a small network of their own into one space, where their cosine is compared,
    as CLAP does for whole clips (Elizalde et al., 2023). Trained with `frame-bce`, it is the baseline
    that a detector has to beat: it sees which second sounds like the sentence, and nothing of what
    surrounds it.
    """

    use = "dual-encoder"

    width: int = budgeted(256, "width", ge=1, description="width of the shared space")
    hidden: int = Field(256, ge=1, description="width of the hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the hidden layers")
    count: int = Field(10, ge=1, description="windows that are given for a query")
    lengths: int = Field(8, ge=1, description="number of window lengths: quantiles of the training windows")
    widths: tuple[float, ...] = Field(
        (), description="window lengths as shares of a recording, in place of the quantiles"
    )
    overlap: float = Field(0.5, ge=0, le=1, description="largest intersection over union of two windows")

    @property
    def provides(self) -> Mapping[str, str]:
        """Return the similarity of frames and sentence."""
        return {SIMILARITY: "B T"}

    def build(self, context: BuildContext) -> nn.Module:
        """Return the model, with weights drawn for the context's seed."""
        widths = torch.tensor(self.widths) if self.widths else quantiles(context.window_widths, self.lengths)
        with context.drawing():
            return DualEncoderModel(
                audio=encoder(
                    context.features.audio, self.hidden, self.width, dropouts=self._dropouts(context)
                ),
                text=encoder(
                    context.features.text, self.hidden, self.width, dropouts=self._dropouts(context)
                ),
                search=SlidingWindows(widths, count=self.count, overlap=self.overlap),
            )

    def _dropouts(self, context: BuildContext) -> Dropouts:
        return Dropouts(rows=context.input_dropout, hidden=self.dropout)


@dataclass(frozen=True)
class Dropouts:
    """Shares of the values that are dropped in training."""

    rows: float
    hidden: float


def encoder(features: int, hidden: int, width: int, *, dropouts: Dropouts) -> nn.Sequential:
    """Return a network of one hidden layer, (..., features) to (..., width)."""
    return nn.Sequential(
        nn.LayerNorm(features),
        nn.Dropout(dropouts.rows),
        nn.Linear(features, hidden),
        nn.GELU(),
        nn.Dropout(dropouts.hidden),
        nn.Linear(hidden, width),
    )


@dataclass(frozen=True)
class _State:
    similarity: Tensor
    mask: Tensor


class DualEncoderModel(nn.Module):
    """Audio rows and the mean of the words' rows in one space."""

    def __init__(self, audio: nn.Module, text: nn.Module, search: SlidingWindows) -> None:
        """Take the two networks, both (..., features) to (..., D), and the search."""
        super().__init__()
        self.audio = audio
        self.text = text
        self.search = search
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compare each row with the sentence; there are no views."""
        words = batch.text_mask[..., None]
        sentence = (self.text(batch.text) * words).sum(1) / words.sum(1)
        rows = functional.normalize(self.audio(batch.audio), dim=-1)
        cosine = (rows @ functional.normalize(sentence, dim=-1)[..., None]).squeeze(-1)
        similarity = cosine * self.scale + self.bias
        return Encoded(_State(similarity, batch.audio_mask), {SIMILARITY: similarity})

    def decode(self, encoded: Encoded) -> Prediction:
        """Return the windows that stand out most."""
        state: _State = encoded.state
        found = self.search(state.similarity, state.mask)
        frames = state.mask.sum(1, keepdim=True)
        spans = torch.stack([(found.starts + found.ends) / 2, found.ends - found.starts], -1)
        return Prediction(spans / frames[..., None], found.scores, {})
