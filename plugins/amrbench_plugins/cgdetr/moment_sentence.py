"""Alignment of moments with sentences, and its distillation into the attention of frames to words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.errors import RecipeError
from amrbench.slots.blocks import Tokens
from amrbench.types import Outcome
from amrbench_plugins.cgdetr.frames import binary_entropy, frame_mean, in_longest
from amrbench_plugins.cgdetr.moment_encoder import EncodedMoments, MomentEncoder

SMALL = 1e-6


def sentence_contrast(moments: EncodedMoments, sentence: Tensor) -> Tensor:
    """Return the cross entropy of picking each moment's own sentence (B, D) among those of the batch."""
    logits = _cosines(moments, sentence)
    return F.cross_entropy(logits, torch.arange(len(sentence), device=logits.device))


def dummy_contrast(moments: EncodedMoments, dummies: Tensor) -> Tensor:
    """Return the same for dummies (B, D), with the reference's target.

    The reference means "any column but one's own" and takes the first of these: column 1 for the first
    sample, column 0 for the others. Parity needs it.
    """
    logits = _cosines(moments, dummies)
    target = torch.zeros(len(dummies), dtype=torch.long, device=logits.device)
    target[:1] = 1
    return F.cross_entropy(logits, target)


def _cosines(moments: EncodedMoments, texts: Tensor) -> Tensor:
    """Return (B, 2 B): cosines of each inside with all texts (B, D), then those of its outside."""
    texts = F.normalize(texts, dim=-1).T
    sides = (F.normalize(side, dim=-1) @ texts for side in (moments.inside, moments.outside))
    return torch.cat(list(sides), 1)


def frame_entropy(moments: EncodedMoments, relevant: Tensor, mask: Tensor) -> Tensor:
    """Return the cross entropy of frames being inside; the logit is their product with the moment's vector.

    The sigmoid comes before the logarithm and so saturates, as in the reference.
    """
    product = (moments.frames @ moments.inside[..., None])[..., 0]
    return frame_mean(binary_entropy(product.float().sigmoid(), relevant) * mask, mask)


@torch.no_grad()
def teacher_of(moments: EncodedMoments, keys: Tensor, counted: Tensor) -> Tensor:
    """Return the target of the attention, (B, T, K): a softmax over the keys (B, K, D) that count (K,)."""
    similarity = (moments.frames @ keys.mT).float()
    return similarity.masked_fill(~counted, -torch.inf).softmax(-1)


def distillation(attention: Tensor, teacher: Tensor, relevant: Tensor, counted: Tensor) -> Tensor:
    """Return the KL divergence of attention (B, T, K) from its teacher, a mean over relevant frames (B, T).

    Within a frame it is the mean over the keys that count (K,), not their sum. The teacher has no gradient.
    """
    divergence = torch.xlogy(teacher, teacher) - teacher * torch.log(attention.float() + SMALL)
    frames = divergence.sum(-1) / counted.sum()
    return (frames * relevant).sum() / relevant.sum().clamp(min=1)


class MomentSentenceLoss(nn.Module):
    """Aligns encoded moments with encoded sentences, and distils their similarity into the attention."""

    def __init__(self, encoder: MomentEncoder, *, alignment: float, distillation: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.alignment, self.distillation = alignment, distillation

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "alignment" and "distillation"."""
        tensors, batch, relevant = outcome.tensors, outcome.batch, outcome.target.relevant
        width, own = tensors["audio"].shape[-1], self.encoder.token.shape[0]
        if own != width:
            raise RecipeError(
                f"loss 'moment-sentence': width is {own}, but the model's is {width}; give both the same."
            )
        audio = Tokens(tensors["audio"], tensors["audio.positions"], batch.audio_mask)
        moments = self.encoder(audio, relevant)
        alignment = (
            sentence_contrast(moments, tensors["summary.text"])
            + dummy_contrast(moments, tensors["summary.dummies"])
            + frame_entropy(moments, relevant, batch.audio_mask)
        )
        attention, words = tensors["attention"], batch.text_mask
        # All dummies count, and the words of the longest text: parity needs the padded words of the others.
        counted = F.pad(in_longest(words), (attention.shape[-1] - words.shape[1], 0), value=True)
        teacher = teacher_of(moments, tensors["summary.keys"], counted)
        return {
            "alignment": self.alignment * alignment,
            "distillation": self.distillation * distillation(attention, teacher, relevant, counted),
        }
