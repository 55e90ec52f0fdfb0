"""A dual encoder: audio frames and the sentence in one space, and a search over their similarity."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench.types import Batch, Encoded, Prediction
from amrbench_plugins.dual_encoder.windows import SlidingWindows


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

    Provides "similarity" (B, T): log odds that a frame belongs to a moment of the sentence.
    """

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
        return Encoded(batch.audio_mask, {"similarity": cosine * self.scale + self.bias})

    def decode(self, encoded: Encoded) -> Prediction:
        """Return the windows with the highest contrast to the rest of their recording."""
        mask: Tensor = encoded.state
        windows = self.search(encoded.tensors["similarity"], mask)
        spans = torch.stack([(windows.starts + windows.ends) / 2, windows.ends - windows.starts], -1)
        return Prediction(spans / mask.sum(1)[:, None, None], windows.scores, {})
