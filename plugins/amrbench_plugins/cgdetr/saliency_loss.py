"""Losses of the saliency of frames, and of the attention of frames to words.

Both measure how well a frame fits the sentence, so both should be higher inside the moment than outside, and
low everywhere when the sentence belongs to another recording.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.types import Outcome
from amrbench_plugins.cgdetr.frame_contrast import SampleWeights, contrast, weighted_sum
from amrbench_plugins.cgdetr.frames import binary_entropy, frame_mean


class SaliencyLoss(nn.Module):
    """Contrasts frames inside and outside the moment, and lowers all frames under mismatched texts."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "saliency" and "saliency.attention"."""
        tensors, view, mask = outcome.tensors, outcome.views["mismatched-text"], outcome.batch.audio_mask

        scores, mismatched = tensors["saliency"].float(), view["saliency"].float()
        weights = SampleWeights.of(view["differs"], ranks_rest=True)
        saliency = contrast(scores, mismatched, outcome, weights)
        saliency = saliency + weighted_sum(F.softplus(mismatched), mask, weights.mismatched)

        on_words, mismatched = tensors["attention.text"].float(), view["attention.text"].float()
        weights = SampleWeights.of(view["differs"], ranks_rest=False)
        # If all attention is on words, 1 - mismatched is 0 and its logarithm infinite.
        penalty = -torch.log((1 - mismatched).clamp(min=torch.finfo(mismatched.dtype).eps))
        inside = frame_mean(binary_entropy(on_words, outcome.target.relevant), mask)
        attention = contrast(on_words, mismatched, outcome, weights)
        attention = attention + weighted_sum(penalty, mask, weights.mismatched) + inside

        return {"saliency": self.weight * saliency, "saliency.attention": self.weight * attention}
