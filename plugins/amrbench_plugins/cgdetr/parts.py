"""The matcher and the losses of CG-DETR, and the reader of its checkpoints.

Weights and sizes are those of the public baseline. The team's public code has the same weights of the matcher
and of the losses of queries; the report names none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from typing_extensions import override

from amrbench.part import budgeted, problem
from amrbench.slots.blocks import ActivationPart, heads_fault
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.slots.losses import LARGEST_WEIGHT, LossPart
from amrbench.slots.matcher import MatcherPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.slots.checkpoint import ForeignModel
    from amrbench.slots.matcher import Matcher
    from amrbench.types import BuildContext, Checkpoint


class Hungarian(MatcherPart):
    """The assignment of least total cost, for each decoder layer (CG-DETR, as in DETR)."""

    use = "hungarian"
    requires = frozenset({"spans", "scores"})
    span: float = Field(
        10.0, ge=0, le=LARGEST_WEIGHT, description="weight of the distance of centre and width"
    )
    giou: float = Field(1.0, ge=0, le=LARGEST_WEIGHT, description="weight of the generalised IoU")
    score: float = Field(4.0, ge=0, le=LARGEST_WEIGHT, description="weight of the query's score")

    @override
    def build(self) -> Matcher:
        from amrbench_plugins.cgdetr.matcher import HungarianMatcher

        return HungarianMatcher(span=self.span, giou=self.giou, score=self.score)


class SpanL1(LossPart):
    """Distance of centre and width between each true span and its query, in fractions of the recording."""

    use = "span-l1"
    requires = frozenset({"spans"})
    weight: float = Field(10.0, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.cgdetr.span_losses import PairLoss, l1

        return PairLoss(self.use, l1, self.weight)


class SpanGiou(LossPart):
    """One minus the generalised IoU between each true span and its query."""

    use = "span-giou"
    requires = frozenset({"spans"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.cgdetr.span_losses import PairLoss, one_minus_giou

        return PairLoss(self.use, one_minus_giou, self.weight)


class Foreground(LossPart):
    """Cross entropy of two classes for every query: matched to a true span, or not.

    A query has two logits, that of a moment first, or one, the log odds of a moment.
    """

    use = "foreground"
    requires = frozenset({"logits"})
    weight: float = Field(4.0, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.cgdetr.span_losses import ForegroundLoss

        return ForegroundLoss(self.weight)


class Saliency(LossPart):
    """Saliency and attention to words: high inside the moment, low outside and under mismatched texts."""

    use = "saliency"
    compares_queries = True  # The mismatched text is that of the next query.
    requires = frozenset({"saliency", "attention.text"})
    views = {"mismatched-text": frozenset({"saliency", "attention.text", "differs"})}  # noqa: RUF012

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.cgdetr.saliency_loss import SaliencyLoss

        return SaliencyLoss(self.weight)


class MomentSentence(LossPart):
    """Alignment of moments with sentences, and its distillation into attention; both share an encoder.

    The encoder sees true moments, so it belongs to the loss and not to the model. Its sizes must be those of
    the model.
    """

    use = "moment-sentence"
    compares_queries = True
    example = {"width": 16, "attention_heads": 4, "feedforward": 24}  # noqa: RUF012
    requires = frozenset(
        {"audio", "audio.positions", "attention", "summary.text", "summary.dummies", "summary.keys"}
    )
    weight: float = Field(1.0, ge=0, le=LARGEST_WEIGHT, description="factor of the alignment in the total")
    distillation: float = Field(
        1.0, ge=0, le=LARGEST_WEIGHT, description="factor of the distillation in the total"
    )
    layers: int = budgeted(1, "layers", ge=1, le=32, description="layers of the moment encoder")
    width: int = budgeted(256, "width", ge=4, le=4096, multiple_of=4, description="width of the model")
    attention_heads: int = budgeted(
        8, "attention_heads", ge=1, le=64, description="attention heads; a divisor of the width"
    )
    feedforward: int = budgeted(
        1024, "feedforward", ge=1, le=16_384, description="hidden width of feed-forward parts"
    )
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
        from amrbench_plugins.cgdetr.moment_encoder import MomentEncoder
        from amrbench_plugins.cgdetr.moment_sentence import MomentSentenceLoss
        from amrbench_plugins.moment_detr.layers import (
            EncoderLayer,
            FeedForward,
            SelfAttention,
            StochasticDepth,
            xavier,
        )

        activation, p, layers = self.activation.build(), self.dropout, []
        with context.drawing():
            for _ in range(self.layers):
                attention = SelfAttention(self.width, self.attention_heads, p)
                feedforward = FeedForward(self.width, self.feedforward, p, activation.feedforward())
                layers.append(EncoderLayer(attention, feedforward, StochasticDepth(p)))
            encoder = MomentEncoder(self.width, layers)
            xavier(encoder.layers)
        return MomentSentenceLoss(encoder, alignment=self.weight, distillation=self.distillation)


class Orthogonality(LossPart):
    """Cosine similarity among the dummies of one text, and among the prompts of the global token."""

    use = "orthogonality"
    requires = frozenset({"dummies", "prompts"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.cgdetr.orthogonality import OrthogonalityLoss

        return OrthogonalityLoss(self.weight)


class LighthouseCgDetr(CheckpointPart):
    """A CG-DETR checkpoint of the Lighthouse library (`best.ckpt`)."""

    use = "cg_detr"

    @override
    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        from amrbench_plugins.cgdetr.lighthouse import foreign_model

        return foreign_model(checkpoint)
