"""A dual encoder: audio frames and the sentence in one space."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn
from torch.nn import functional

from amrbench.types import Batch, Encoded, Tensors


def encoder(features: int, *, hidden: int, width: int, input_dropout: float, dropout: float) -> nn.Sequential:
    """Return a network of one hidden layer, (..., features) to (..., width)."""
    return nn.Sequential(
        nn.LayerNorm(features),
        nn.Dropout(input_dropout),
        nn.Linear(features, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, width),
    )


class DualEncoderModel(nn.Module):
    """Compares audio frames with the mean of the words.

    Provides "saliency" (B, T): log odds that a frame belongs to a moment of the sentence.
    """

    def __init__(self, audio: nn.Module, text: nn.Module) -> None:
        """Take the two networks, both (..., features) to (..., D)."""
        super().__init__()
        self.audio = audio
        self.text = text
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))  # few frames belong to a moment

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compare each frame with the sentence; there are no views."""
        words = batch.text_mask[..., None]
        sentence = (self.text(batch.text) * words).sum(1) / words.sum(1)
        audio = functional.normalize(self.audio(batch.audio), dim=-1)
        cosine = (audio @ functional.normalize(sentence, dim=-1)[..., None]).squeeze(-1)
        return Encoded(None, {"saliency": cosine * self.scale + self.bias})

    def decode(self, encoded: Encoded) -> Tensors:
        """Return nothing: there is no decoder."""
        return {}
