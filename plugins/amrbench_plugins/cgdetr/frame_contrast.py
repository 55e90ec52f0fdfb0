"""Terms of the losses of saliency, which both baselines have: frames inside the moment against the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amrbench.types import Outcome

MARGIN = 0.2
"""By how much frames inside should score higher than frames outside; that of the public baseline."""
TEMPERATURE = 0.5
LEVELS = 12
"""Levels of relevance in the reference; binary labels use one of them, but the sum is divided by twelve."""
HIDDEN = -1000.0
"""The score of padded frames."""
SMALL = 1e-6


@dataclass(frozen=True)
class SampleWeights:
    """Weights of the samples of a batch in two means."""

    mismatched: Tensor
    """(B,) for samples that are ranked together with their mismatched view."""
    alone: Tensor
    """(B,) for samples that are ranked without it."""

    @classmethod
    def of(cls, differs: Tensor, *, ranks_rest: bool) -> SampleWeights:
        """Weigh the samples; `differs` (B,) is True where the mismatched text is of another recording.

        If it is False for all samples, all are ranked alone. Otherwise the samples where it is False are
        ranked only with `ranks_rest`, and only if there are several: the reference gives no weight to one.
        """
        other, rest = differs.float(), (~differs).float()
        counted = (other.sum() == 0) | ((rest.sum() > 1) & ranks_rest)
        return cls(other / other.sum().clamp(min=1), rest * counted / rest.sum().clamp(min=1))


def rank(scores: Tensor, relevant: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Return the contrast of relevant frames with all frames of their sample, a scalar.

    It is the mean negative logarithm of a softmax over frames, as in a contrastive loss.

    Args:
        scores: (B, n) any real numbers.
        relevant: (B, n) True for frames that should rank first.
        mask: (B, n) True for real frames.
        weights: (B,) of the samples; those without a relevant frame count nothing.
    """
    logits = torch.where(mask, scores, HIDDEN) / TEMPERATURE
    logits = logits - logits.max(1, keepdim=True)[0]
    logs = logits - torch.log(logits.exp().sum(1, keepdim=True) + SMALL)
    counted = (relevant & mask).float()
    means = -(counted * logs).sum(1) / (relevant.sum(1) + SMALL)
    return (means * weights).sum() / LEVELS


def contrast(scores: Tensor, mismatched: Tensor, outcome: Outcome, weights: SampleWeights) -> Tensor:
    """Return how far scores (B, T) are from separating the frames inside, a scalar.

    It is twice the mean by which drawn pairs miss the margin between inside and outside; plus the rank of the
    frames inside among the others and all frames under the mismatched text (B, T); plus their rank among the
    others alone.
    """
    target, mask = outcome.target, outcome.batch.audio_mask
    gap = MARGIN + scores.gather(1, target.negatives) - scores.gather(1, target.positives)
    with_mismatched = rank(
        torch.cat([scores, mismatched], 1),
        torch.cat([target.relevant, torch.zeros_like(target.relevant)], 1),
        torch.cat([mask, mask], 1),
        weights.mismatched,
    )
    return 2 * gap.clamp(min=0).mean() + with_mismatched + rank(scores, target.relevant, mask, weights.alone)


def weighted_sum(penalty: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Sum a penalty (B, T) over real frames, then over samples with weights (B,)."""
    return (torch.where(mask, penalty, 0.0).sum(1) * weights).sum()
