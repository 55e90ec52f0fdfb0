"""The parts of the baselines for the slots of `moment-detr`: those of CG-DETR and of QD-DETR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from pydantic import Field, model_validator
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import budgeted, problem
from amrbench.slots.blocks import (
    ActivationPart,
    AnchorsPart,
    Corrections,
    DecoderPart,
    EncoderPart,
    FusionPart,
    HeadPart,
    NormPart,
    PriorPart,
    QueryPart,
    RefinePart,
    TemporalEmbeddingPart,
    build_at,
    heads_fault,
)

if TYPE_CHECKING:
    from torch import nn

    from amrbench.slots.blocks import Activation, AttentionNorm, BlockContext


class ReluPRelu(ActivationPart):
    """ReLU in projections and small perceptrons, PReLU with one slope a layer in feed-forward parts."""

    use = "relu-prelu"

    @override
    def build(self) -> Activation:
        from amrbench_plugins.moment_detr.small_blocks import ReluAndPRelu

        return ReluAndPRelu()


class Tef(TemporalEmbeddingPart):
    """Temporal endpoint features: start and end of each frame, put before its audio features."""

    use = "tef"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.small_blocks import EndpointColumns

        return EndpointColumns()


class Identity(NormPart):
    """No normalisation: audio and text are compared at the scales they have."""

    use = "identity"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.small_blocks import NoNorm

        return NoNorm()


class AdaptiveCrossAttention(FusionPart):
    """Adaptive cross attention with text-conditioned dummies and a prompted global token (CG-DETR)."""

    use = "adaptive-cross-attention"
    layers: int = budgeted(2, "layers", ge=1, le=32, description="layers of cross attention")
    dummies: int = budgeted(
        45, "dummies", ge=1, le=500, description="dummy tokens, which take attention from words"
    )
    dummy_encoder: EncoderPart = Field(
        {"use": "transformer", "layers": 2},
        validate_default=True,
        description="conditions the dummies on the words",
    )
    prompts: int = Field(10, ge=1, le=500, description="learned prompts that the global token is mixed from")
    prompts_used: int = Field(
        2, ge=1, le=500, description="prompts that the token of one recording is mixed from"
    )
    norm: NormPart = Field(
        "identity", validate_default=True, description="normalisation before the attention"
    )

    @model_validator(mode="after")
    def _enough_prompts(self) -> AdaptiveCrossAttention:
        if self.prompts_used > self.prompts:
            raise problem(f"prompts_used is {self.prompts_used}, but there are only {self.prompts} prompts.")
        return self

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"attention": "B T S+L", "attention.text": "B T", "dummies": "B S D", "prompts": "P D"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.dropout import RESIDUAL_SUMS
        from amrbench_plugins.moment_detr.fusion import AdaptiveFusion, CrossLayer, GlobalToken
        from amrbench_plugins.moment_detr.layers import FeedForward, keep_weights

        width, p, layers = context.width, context.dropout, []
        for index in range(self.layers):
            layer = CrossLayer(
                heads=context.attention_heads,
                norm=cast("AttentionNorm", build_at(self.norm, f"layers.{index}.norm", context)),
                feedforward=FeedForward(width, context.feedforward, p, context.activation.feedforward()),
                residual_sum=RESIDUAL_SUMS[context.residual_dropout](p),
            )
            context.initialise(layer.out)
            context.initialise(layer.feedforward)
            layers.append(layer)
        as_drawn = replace(context, initialise=keep_weights)
        return AdaptiveFusion(
            dummies=self.dummies,
            dummy_encoder=build_at(self.dummy_encoder, "dummy_encoder", as_drawn),
            layers=layers,
            token=GlobalToken(width=width, prompts=self.prompts, used=self.prompts_used),
        )


class CrossAttention(FusionPart):
    """Cross attention of frames to words, and one learned global token for all recordings (QD-DETR)."""

    use = "cross-attention"
    layers: int = budgeted(2, "layers", ge=1, le=32, description="layers of cross attention")
    norm: NormPart = Field(
        "identity", validate_default=True, description="normalisation before the attention"
    )

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.cross_attention import CrossAttentionFusion, WordLayer
        from amrbench_plugins.moment_detr.dropout import RESIDUAL_SUMS
        from amrbench_plugins.moment_detr.layers import FeedForward

        width, p, layers = context.width, context.dropout, []
        for index in range(self.layers):
            layer = WordLayer(
                heads=context.attention_heads,
                norm=cast("AttentionNorm", build_at(self.norm, f"layers.{index}.norm", context)),
                feedforward=FeedForward(width, context.feedforward, p, context.activation.feedforward()),
                residual_sum=RESIDUAL_SUMS[context.residual_dropout](p),
            )
            context.initialise(layer)
            layers.append(layer)
        return CrossAttentionFusion(layers, width)


class NoEncoder(EncoderPart):
    """No encoder: rows stay as they are. As `text_summary` it leaves the summary of the text out."""

    use = "none"

    @property
    @override
    def summarises(self) -> bool:
        return False

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.encoder import UnchangedRows

        return UnchangedRows()


class Transformer(EncoderPart):
    """Layers of self attention and feed-forward, each added to the rows and then normalised."""

    use = "transformer"
    layers: int = budgeted(3, "layers", ge=1, le=32, description="number of layers")
    attention_heads: int | None = budgeted(
        None, "attention_heads", ge=1, le=64, description="attention heads; the model's unless given"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout; the model's unless given")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.dropout import RESIDUAL_SUMS
        from amrbench_plugins.moment_detr.encoder import TransformerEncoder
        from amrbench_plugins.moment_detr.layers import EncoderLayer, FeedForward, SelfAttention

        width, heads = context.width, self.attention_heads or context.attention_heads
        p = context.dropout if self.dropout is None else self.dropout
        if fault := heads_fault(heads, width):
            raise RecipeError(f"{context.build.path}: {fault}")
        layers, residual_sum = [], RESIDUAL_SUMS[context.residual_dropout]
        for _ in range(self.layers):
            feedforward = FeedForward(width, context.feedforward, p, context.activation.feedforward())
            layers.append(EncoderLayer(SelfAttention(width, heads, p), feedforward, residual_sum(p)))
        stack = TransformerEncoder(layers)
        context.initialise(stack)
        return stack


class AddGlobal(RefinePart):
    """Add the encoded global token to every frame."""

    use = "add-global"
    needs_token = True

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.small_blocks import TokenAddition

        return TokenAddition()


class RandomAnchors(AnchorsPart):
    """Learned anchors that start at random: the sigmoid of standard normal numbers."""

    use = "random"
    count: int = Field(10, ge=1, le=300, description="queries, which is also the number of predicted moments")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.query import LearnedAnchors

        return LearnedAnchors(self.count)


class Zeros(QueryPart):
    """Queries that differ by their anchors alone; their content starts at zero (CG-DETR)."""

    use = "zeros"
    requires = frozenset({"audio"})
    anchors: AnchorsPart = Field(
        "random", validate_default=True, description="spans that the queries start from"
    )

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.query import EmptyQueries

        return EmptyQueries(build_at(self.anchors, "anchors", context))


class Flat(PriorPart):
    """No prior: queries attend to frames by content and position alone."""

    use = "flat"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.small_blocks import NoPrior

        return NoPrior()


class Dab(DecoderPart):
    """Dynamic anchors: each layer attends around its queries' spans and corrects them (DAB-DETR)."""

    use = "dab"
    version = 2  # two of its modules have other names in saved weights
    layers: int = budgeted(3, "layers", ge=1, le=32, description="number of layers")
    prior: PriorPart = Field("flat", validate_default=True, description="bias of attention to frames")
    first_corrections: Corrections = "drawn"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.decoder import DecoderSelfAttention, build_decoder

        return build_decoder(
            context,
            layers=self.layers,
            prior=self.prior,
            self_attention=partial(
                DecoderSelfAttention, context.width, context.attention_heads, context.dropout
            ),
            corrections=self.first_corrections,
        )


class Independent(DecoderPart):
    """The decoder `dab` whose queries do not read each other (arXiv 2603.02363).

    Nothing keeps two queries from the same moment, so the read-out or the ranking has to suppress doubles.
    The paper also drops queries in training: `query-dropout`.
    """

    use = "independent"
    layers: int = budgeted(3, "layers", ge=1, le=32, description="number of layers")
    prior: PriorPart = Field("flat", validate_default=True, description="bias of attention to frames")
    first_corrections: Corrections = "drawn"

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.decoder import NoSelfAttention, build_decoder

        return build_decoder(
            context,
            layers=self.layers,
            prior=self.prior,
            self_attention=NoSelfAttention,
            corrections=self.first_corrections,
        )


class Spans(HeadPart):
    """A perceptron of three layers that corrects the anchor in logit space, one for all decoder layers."""

    use = "spans"
    first_corrections: Corrections = "drawn"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"spans": "N B Q 2"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.heads import SpanHead
        from amrbench_plugins.moment_detr.layers import Perceptron, start_corrections

        width = context.width
        perceptron = Perceptron((width, width, width, 2), context.activation.mlp)
        start_corrections(perceptron.last, self.first_corrections)
        return SpanHead(perceptron, context.eps)


class Foreground(HeadPart):
    """Two classes for each query, moment or none; the score is the probability of the first."""

    use = "foreground"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"logits": "N B Q 2", "scores": "N B Q"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.heads import ForegroundHead

        return ForegroundHead(context.width)


class Saliency(HeadPart):
    """How much each frame belongs to what the sentence describes."""

    use = "saliency"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"saliency": "B T"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.heads import SaliencyHead

        return SaliencyHead(context.width)
