"""`moment-detr`: a DETR over audio frames that predicts spans for a sentence; each of its blocks is a slot.

Sizes here and in the baseline's parts for the slots (layers, dummies, prompts, queries) are those of the
public baseline, CG-DETR in the Lighthouse library. The team's public code has the same sizes, but an `eps` of
1e-5; the report has 30 queries instead of 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field, model_validator
from torch import nn
from typing_extensions import override

from amrbench.part import budgeted, problem, unique
from amrbench.slots.blocks import (
    ActivationPart,
    BlockContext,
    BlockPart,
    DecoderPart,
    EncoderPart,
    FusionPart,
    HeadPart,
    QueryPart,
    RefinePart,
    TemporalEmbedding,
    TemporalEmbeddingPart,
    build_at,
)
from amrbench.slots.model import ModelPart
from amrbench.types import BuildContext
from amrbench_plugins.moment_detr.layers import InputProjection, heads_fault, keep_weights, xavier
from amrbench_plugins.moment_detr.network import MISMATCHED_TEXT, Modules, MomentDetrNetwork
from amrbench_plugins.moment_detr.summary import TextSummary

_EXAMPLES = {"spans": "spans", "scores": "foreground"}
"""What the heads together must provide, and a head that provides it."""

_EXAMPLE: Mapping[str, Any] = {
    "width": 16,
    "attention_heads": 4,
    "feedforward": 24,
    "activation": "relu-prelu",
    "temporal_embedding": "tef",
    "fusion": {"use": "adaptive-cross-attention", "dummies": 3, "prompts": 4},
    "text_summary": {"use": "transformer", "layers": 1},
    "encoder": {"use": "transformer", "layers": 2},
    "memory_refine": ["add-global"],
    "query": "zeros",
    "decoder": {"use": "dab", "layers": 2},
    "heads": ["spans", "foreground", "saliency"],
}


class MomentDetr(ModelPart):
    """Encoder over [global token; audio fused with text] and decoder over moment queries."""

    use = "moment-detr"
    views: ClassVar[frozenset[str]] = frozenset({MISMATCHED_TEXT})
    example: ClassVar[Mapping[str, Any]] = _EXAMPLE

    width: int = budgeted(256, "width", ge=4, multiple_of=4, description="features of a row inside the model")
    attention_heads: int = Field(8, ge=1, description="attention heads; a divisor of the width")
    feedforward: int = budgeted(1024, "feedforward", ge=1, description="hidden width of feed-forward parts")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout, and stochastic depth of whole branches")
    eps: float = Field(
        1e-3,
        gt=0,
        lt=0.5,
        description="least distance of a fraction from 0 and 1 before its logit is taken",
    )
    activation: ActivationPart
    audio_refine: Annotated[tuple[RefinePart, ...], AfterValidator(unique)] = ()
    temporal_embedding: TemporalEmbeddingPart
    fusion: FusionPart
    text_summary: EncoderPart
    encoder: EncoderPart
    memory_refine: Annotated[tuple[RefinePart, ...], AfterValidator(unique)] = ()
    query: QueryPart
    decoder: DecoderPart
    heads: Annotated[tuple[HeadPart, ...], AfterValidator(unique)] = Field(min_length=1)

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        provided = {**self._before_decoder(), "differs": "B"}
        for head in self.heads:
            provided |= head.provides
        return provided

    @model_validator(mode="after")
    def _fits_together(self) -> MomentDetr:
        if fault := heads_fault(self.attention_heads, self.width):
            raise problem(fault)
        early = [part.use for part in self.audio_refine if part.needs_token]
        if early:
            raise problem(
                f"audio_refine: {early[0]!r} needs the global token, which the fusion makes later; "
                "put it into memory_refine."
            )
        _check_heads(self.heads, self._before_decoder())
        missing = sorted(self.query.requires - self._before_decoder().keys())
        if missing:
            raise problem(f"query: {self.query.use!r} needs {missing[0]!r}, which no earlier part provides.")
        return self

    @override
    def build(self, context: BuildContext) -> nn.Module:
        blocks = BlockContext(
            width=self.width,
            attention_heads=self.attention_heads,
            feedforward=self.feedforward,
            dropout=self.dropout,
            activation=self.activation.build(),
            initialise=xavier,
            build=context,
            eps=self.eps,
        )
        with context.drawing():
            return MomentDetrNetwork(self._modules(blocks), self.width)

    def _before_decoder(self) -> dict[str, str]:
        provided = {
            "audio.refined": "B T D",
            "audio": "B T D",
            "audio.positions": "B T D",
            "text": "B L D",
            "summary.text": "B D",
            "summary.keys": "B S+L D",
            "memory.encoded": "B T D",
            **{f"memory.{part.use}": "B T D" for part in self.memory_refine},
            "memory": "B T D",
            "memory.token": "B D",
            **self.fusion.provides,
        }
        if "dummies" in provided:
            return {**provided, "summary.dummies": "B D"}
        return {**provided, "summary.keys": "B L D"}  # words only

    def _modules(self, context: BlockContext) -> Modules:
        widths = context.build.features
        temporal = build_at(self.temporal_embedding, "temporal_embedding", context)
        columns = cast("TemporalEmbedding", temporal).columns_width
        return Modules(
            audio_projection=_projection("audio_projection", context, widths.audio + columns),
            text_projection=_projection("text_projection", context, widths.text),
            audio_refine=nn.ModuleList(_built(self.audio_refine, "audio_refine", context).values()),
            temporal_embedding=temporal,
            fusion=build_at(self.fusion, "fusion", context),
            text_summary=self._text_summary(context),
            encoder=build_at(self.encoder, "encoder", context),
            memory_refine=nn.ModuleDict(_built(self.memory_refine, "memory_refine", context)),
            query=build_at(self.query, "query", context),
            decoder=build_at(self.decoder, "decoder", context),
            heads=nn.ModuleDict(_built(self.heads, "heads", context)),
        )

    def _text_summary(self, context: BlockContext) -> TextSummary:
        as_drawn = replace(context, initialise=keep_weights)
        encoder = build_at(self.text_summary, "text_summary.encoder", as_drawn)
        with context.build.at("text_summary").drawing():
            return TextSummary(context.width, encoder)


def _built(parts: Sequence[BlockPart], path: str, context: BlockContext) -> dict[str, nn.Module]:
    return {part.use: build_at(part, f"{path}.{part.use}", context) for part in parts}


def _projection(path: str, context: BlockContext, inputs: int) -> InputProjection:
    build = context.build.at(path)
    with build.drawing():
        return InputProjection(inputs, context.width, build.input_dropout, context.activation.mlp())


def _check_heads(heads: Sequence[HeadPart], provided: Iterable[str]) -> None:
    """Refuse heads that provide a tensor twice, or too few tensors; `provided` exist before the heads."""
    owners = dict.fromkeys(provided, "an earlier part")
    for head in heads:
        for name in sorted(head.provides):
            if name in owners:
                raise problem(f"heads: {head.use!r} and {owners[name]} both provide {name!r}; keep one.")
            owners[name] = repr(head.use)
    for name, example in _EXAMPLES.items():
        if name not in owners:
            raise problem(f"heads: none of them provides {name!r}; add one that does, e.g. {example!r}.")
