"""Losses of the saliency of frames, and of the attention that frames pay to words.

Both say how much a frame has to do with the sentence, so both should be higher inside the moment than
outside, and low everywhere when the sentence belongs to another recording. Weights and margin are those of
the public baseline; the report does not mention them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome
from amrbench_plugins.cgdetr.frames import entropy, frame_mean

MISMATCHED_TEXT = "mismatched-text"
TEMPERATURE = 0.5
# The reference runs over twelve levels of relevance, of which binary labels use one, and divides by all.
LEVELS = 12
HIDDEN = -1000.0
SMALL = 1e-6


@dataclass(frozen=True)
class Rows:
    """Which samples of a batch take part in what, as weights of means."""

    negative: Tensor
    """(B,) of samples with a text of another recording."""
    alone: Tensor
    """(B,) of the other samples, where they are ranked without negatives."""

    @classmethod
    def of(cls, differs: Tensor, *, ranks_rest: bool) -> Rows:
        """Weigh the rows; where `differs` is True the mismatched text is of another recording.

        Without any such row all rows are ranked alone. With some, the rest is ranked only if `ranks_rest`
        and if it is more than one row, which the reference gets wrong and which then counts nothing.
        """
        other, rest = differs.float(), (~differs).float()
        counted = (other.sum() == 0) | ((rest.sum() > 1) & ranks_rest)
        return cls(other / other.sum().clamp(min=1), rest * counted / rest.sum().clamp(min=1))


@dataclass(frozen=True)
class Frames:
    """What is true of the frames of a batch."""

    relevant: Tensor
    mask: Tensor
    positives: Tensor
    negatives: Tensor


def rank(scores: Tensor, relevant: Tensor, mask: Tensor, row: Tensor) -> Tensor:
    """Return how far relevant frames are from ranking above all others, a scalar.

    Args:
        scores: (B, n) any real numbers.
        relevant: (B, n) True for frames that should rank first.
        mask: (B, n) True for real frames.
        row: (B,) weights of the samples; those without a relevant frame count nothing.
    """
    logits = torch.where(mask, scores, HIDDEN) / TEMPERATURE
    logits = logits - logits.max(1, keepdim=True)[0]
    logs = logits - torch.log(logits.exp().sum(1, keepdim=True) + SMALL)
    wanted = (relevant & mask).float()
    means = -(wanted * logs).sum(1) / (relevant.sum(1) + SMALL)
    return (means * row).sum() / LEVELS


def hinge(scores: Tensor, frames: Frames, margin: float) -> Tensor:
    """Return twice the mean by which drawn pairs miss a margin between inside and outside, a scalar."""
    gap = margin + scores.gather(1, frames.negatives) - scores.gather(1, frames.positives)
    return 2 * gap.clamp(min=0).mean()


def beside_negatives(scores: Tensor, negative: Tensor, frames: Frames, row: Tensor) -> Tensor:
    """Rank the relevant frames above the others and above all frames under a mismatched text."""
    both = torch.cat([scores, negative], 1)
    relevant = torch.cat([frames.relevant, torch.zeros_like(frames.relevant)], 1)
    return rank(both, relevant, torch.cat([frames.mask, frames.mask], 1), row)


def lowered(penalty: Tensor, frames: Frames, row: Tensor) -> Tensor:
    """Sum a penalty (B, T) over real frames, then weigh the samples."""
    return (torch.where(frames.mask, penalty, 0.0).sum(1) * row).sum()


class SaliencyLoss(nn.Module):
    """Ranks, pushes apart and lowers saliency and attention to words."""

    def __init__(self, *, weight: float, attention: float, margin: float) -> None:
        super().__init__()
        self.weight, self.attention, self.margin = weight, attention, margin

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "saliency" and "saliency.attention"."""
        target = outcome.target
        frames = Frames(target.relevant, outcome.batch.audio_mask, target.positives, target.negatives)
        other = outcome.views[MISMATCHED_TEXT]
        scores, negative = outcome.tensors["saliency"].float(), other["saliency"].float()
        share, wrong = outcome.tensors["attention.text"].float(), other["attention.text"].float()
        return {
            "saliency": self.weight * self._of_scores(scores, negative, frames, other["differs"]),
            "saliency.attention": self.weight
            * self.attention
            * self._of_attention(share, wrong, frames, other["differs"]),
        }

    def _of_scores(self, scores: Tensor, negative: Tensor, frames: Frames, differs: Tensor) -> Tensor:
        rows = Rows.of(differs, ranks_rest=True)
        return self._shared(scores, negative, frames, rows) + lowered(
            F.softplus(negative), frames, rows.negative
        )

    def _of_attention(self, share: Tensor, wrong: Tensor, frames: Frames, differs: Tensor) -> Tensor:
        rows = Rows.of(differs, ranks_rest=False)
        # All of the attention on words would make the logarithm infinite.
        penalty = -torch.log((1 - wrong).clamp(min=torch.finfo(wrong.dtype).eps))
        told = frame_mean(entropy(share, frames.relevant), frames.mask)
        return self._shared(share, wrong, frames, rows) + lowered(penalty, frames, rows.negative) + told

    def _shared(self, scores: Tensor, negative: Tensor, frames: Frames, rows: Rows) -> Tensor:
        return (
            hinge(scores, frames, self.margin)
            + beside_negatives(scores, negative, frames, rows.negative)
            + rank(scores, frames.relevant, frames.mask, rows.alone)
        )


class Saliency(LossPart):
    """Saliency and attention to words: high inside the moment, low outside and under other texts."""

    use = "saliency"
    requires = frozenset({"saliency", "attention.text"})
    views = {MISMATCHED_TEXT: frozenset({"saliency", "attention.text", "differs"})}  # noqa: RUF012
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")
    attention: float = Field(1.0, ge=0, description="factor of the attention's share in this loss")
    margin: float = Field(0.2, ge=0, description="by how much frames inside should score higher")

    def build(self, context: BuildContext) -> nn.Module:
        """Return the loss."""
        return SaliencyLoss(weight=self.weight, attention=self.attention, margin=self.margin)
