"""Alignment of moments with sentences, and its distillation into the attention of frames to words.

Weights and sizes are those of the public baseline; the report does not mention them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import budgeted, problem
from amrbench.slots.blocks import ActivationPart, Tokens
from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome
from amrbench_plugins.cgdetr.frames import binary_entropy, frame_mean, in_longest
from amrbench_plugins.cgdetr.moment_encoder import EncodedMoments, MomentEncoder
from amrbench_plugins.moment_detr.layers import EncoderLayer, FeedForward, SelfAttention, heads_fault, xavier

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


def _counted_keys(keys: int, text_mask: Tensor) -> Tensor:
    """Return (K,), True for all dummies and for the words of the longest text.

    The reference's teacher counts padded words of shorter texts, and parity needs them.
    """
    return F.pad(in_longest(text_mask), (keys - text_mask.shape[1], 0), value=True)


class MomentSentenceLoss(nn.Module):
    """Aligns encoded moments with encoded sentences, and distils their similarity into the attention."""

    def __init__(self, encoder: MomentEncoder, *, alignment: float, distillation: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.alignment, self.distillation = alignment, distillation

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "alignment" and "distillation"."""
        tensors, batch, relevant = outcome.tensors, outcome.batch, outcome.target.relevant
        audio = Tokens(tensors["audio"], tensors["audio.positions"], batch.audio_mask)
        self._check_width(audio.features.shape[-1])
        moments = self.encoder(audio, relevant)
        alignment = (
            sentence_contrast(moments, tensors["summary.text"])
            + dummy_contrast(moments, tensors["summary.dummies"])
            + frame_entropy(moments, relevant, batch.audio_mask)
        )
        attention = tensors["attention"]
        counted = _counted_keys(attention.shape[-1], batch.text_mask)
        teacher = teacher_of(moments, tensors["summary.keys"], counted)
        return {
            "alignment": self.alignment * alignment,
            "distillation": self.distillation * distillation(attention, teacher, relevant, counted),
        }

    def _check_width(self, width: int) -> None:
        own = self.encoder.token.shape[0]
        if own != width:
            raise RecipeError(
                f"loss 'moment-sentence': width is {own}, but the model's is {width}; give both the same."
            )


class MomentSentence(LossPart):
    """Alignment of moments with sentences, and its distillation into attention; both share an encoder.

    The encoder sees true moments, so it belongs to the loss and not to the model. Its sizes must be those of
    the model.
    """

    use = "moment-sentence"
    example = {"width": 16, "attention_heads": 4, "feedforward": 24}  # noqa: RUF012
    requires = frozenset(
        {"audio", "audio.positions", "attention", "summary.text", "summary.dummies", "summary.keys"}
    )
    weight: float = Field(1.0, ge=0, description="factor of the alignment in the total")
    distillation: float = Field(1.0, ge=0, description="factor of the distillation in the total")
    layers: int = budgeted(1, "layers", ge=1, description="layers of the moment encoder")
    width: int = budgeted(256, "width", ge=4, multiple_of=4, description="width of the model")
    attention_heads: int = Field(8, ge=1, description="attention heads; a divisor of the width")
    feedforward: int = budgeted(1024, "feedforward", ge=1, description="hidden width of feed-forward parts")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout, and stochastic depth of whole branches")
    activation: ActivationPart = Field(
        "relu-prelu", validate_default=True, description="activation of the encoder"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> MomentSentence:
        if fault := heads_fault(self.attention_heads, self.width):
            raise problem(fault)
        return self

    @override
    def build(self, context: BuildContext) -> nn.Module:
        activation, p, layers = self.activation.build(), self.dropout, []
        with context.drawing():
            for _ in range(self.layers):
                attention = SelfAttention(self.width, self.attention_heads, p)
                feedforward = FeedForward(self.width, self.feedforward, p, activation.feedforward())
                layers.append(EncoderLayer(attention, feedforward, p))
            encoder = MomentEncoder(self.width, layers)
            xavier(encoder.layers)
        return MomentSentenceLoss(encoder, alignment=self.weight, distillation=self.distillation)
