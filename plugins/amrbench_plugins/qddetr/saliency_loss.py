"""The saliency loss of QD-DETR (Moon et al. 2023, sections 3.2 and 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.types import Outcome
from amrbench_plugins.cgdetr.frame_contrast import SampleWeights, contrast, weighted_sum


class NegativePairLoss(nn.Module):
    """Contrasts frames inside and outside the moment, and lowers all frames under the text of the next query.

    As in the reference, the last part is a sum over the frames of a recording, so it grows with their number.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "saliency", a scalar."""
        scores = outcome.tensors["saliency"].float()
        mismatched = outcome.views["mismatched-text"]["saliency"].float()
        share = scores.new_full((len(scores),), 1 / len(scores))
        weights = SampleWeights(mismatched=share, alone=torch.zeros_like(share))
        saliency = contrast(scores, mismatched, outcome, weights)
        saliency = saliency + weighted_sum(F.softplus(mismatched), outcome.batch.audio_mask, share)
        return {"saliency": self.weight * saliency}
