"""Losses of the saliency of frames, and of the attention of frames to words.

Both measure how well a frame fits the sentence, so both should be higher inside the moment than outside, and
low everywhere when the sentence belongs to another recording. Weights and margin are those of the public
baseline; the report does not mention them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome
from amrbench_plugins.cgdetr.frames import binary_entropy, frame_mean

MISMATCHED_TEXT = "mismatched-text"
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


@dataclass(frozen=True)
class FrameLabels:
    """The ground truth of the frames of a batch."""

    relevant: Tensor
    """(B, T)"""
    mask: Tensor
    """(B, T)"""
    positives: Tensor
    """(B, P) indices of frames inside."""
    negatives: Tensor
    """(B, P) indices of frames outside."""


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


def hinge(scores: Tensor, frames: FrameLabels, margin: float) -> Tensor:
    """Return twice the mean by which drawn pairs miss a margin between inside and outside, a scalar."""
    gap = margin + scores.gather(1, frames.negatives) - scores.gather(1, frames.positives)
    return 2 * gap.clamp(min=0).mean()


def rank_with_mismatched(scores: Tensor, mismatched: Tensor, frames: FrameLabels, weights: Tensor) -> Tensor:
    """Rank the relevant frames above the others and above all frames under a mismatched text."""
    both = torch.cat([scores, mismatched], 1)
    relevant = torch.cat([frames.relevant, torch.zeros_like(frames.relevant)], 1)
    return rank(both, relevant, torch.cat([frames.mask, frames.mask], 1), weights)


def weighted_sum(penalty: Tensor, frames: FrameLabels, weights: Tensor) -> Tensor:
    """Sum a penalty (B, T) over real frames, then over samples with weights (B,)."""
    return (torch.where(frames.mask, penalty, 0.0).sum(1) * weights).sum()


class SaliencyLoss(nn.Module):
    """Contrasts frames inside and outside the moment, and lowers all frames under mismatched texts."""

    def __init__(self, *, weight: float, attention: float, margin: float) -> None:
        super().__init__()
        self.weight, self.attention, self.margin = weight, attention, margin

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "saliency" and "saliency.attention"."""
        target = outcome.target
        frames = FrameLabels(target.relevant, outcome.batch.audio_mask, target.positives, target.negatives)
        tensors, view = outcome.tensors, outcome.views[MISMATCHED_TEXT]
        saliency = self._of_saliency(
            tensors["saliency"].float(), view["saliency"].float(), frames, view["differs"]
        )
        attention = self._of_attention(
            tensors["attention.text"].float(), view["attention.text"].float(), frames, view["differs"]
        )
        return {
            "saliency": self.weight * saliency,
            "saliency.attention": self.weight * self.attention * attention,
        }

    def _of_saliency(
        self, scores: Tensor, mismatched: Tensor, frames: FrameLabels, differs: Tensor
    ) -> Tensor:
        weights = SampleWeights.of(differs, ranks_rest=True)
        contrast = self._contrast(scores, mismatched, frames, weights)
        return contrast + weighted_sum(F.softplus(mismatched), frames, weights.mismatched)

    def _of_attention(
        self, on_words: Tensor, mismatched: Tensor, frames: FrameLabels, differs: Tensor
    ) -> Tensor:
        weights = SampleWeights.of(differs, ranks_rest=False)
        # If all attention is on words, 1 - mismatched is 0 and its logarithm infinite.
        penalty = -torch.log((1 - mismatched).clamp(min=torch.finfo(mismatched.dtype).eps))
        inside = frame_mean(binary_entropy(on_words, frames.relevant), frames.mask)
        contrast = self._contrast(on_words, mismatched, frames, weights)
        return contrast + weighted_sum(penalty, frames, weights.mismatched) + inside

    def _contrast(
        self, scores: Tensor, mismatched: Tensor, frames: FrameLabels, weights: SampleWeights
    ) -> Tensor:
        return (
            hinge(scores, frames, self.margin)
            + rank_with_mismatched(scores, mismatched, frames, weights.mismatched)
            + rank(scores, frames.relevant, frames.mask, weights.alone)
        )


class Saliency(LossPart):
    """Saliency and attention to words: high inside the moment, low outside and under mismatched texts."""

    use = "saliency"
    requires = frozenset({"saliency", "attention.text"})
    views = {MISMATCHED_TEXT: frozenset({"saliency", "attention.text", "differs"})}  # noqa: RUF012
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")
    attention: float = Field(1.0, ge=0, description="factor of the term on attention in this loss")
    margin: float = Field(0.2, ge=0, description="by how much frames inside should score higher than outside")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return SaliencyLoss(weight=self.weight, attention=self.attention, margin=self.margin)
