"""`moment-detr`: a DETR over audio frames that predicts spans for a sentence, cut into slots.

Sizes here and in the baseline's parts for the slots (layers, dummies, prompts, queries) are those of the
public baseline, CG-DETR in the Lighthouse library. The team's public code has the same, but an `eps` of 1e-5;
the report names 30 queries in place of 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator
from torch import nn

from amrbench.part import budgeted, problem, unique
from amrbench.slots import ModelPart
from amrbench.types import Context
from amrbench_plugins.moment_detr.layers import InputProjection, leave, xavier
from amrbench_plugins.moment_detr.network import MISMATCHED_TEXT, Modules, MomentDetrNetwork
from amrbench_plugins.moment_detr.slots import (
    ActivationPart,
    DecoderPart,
    EncoderPart,
    FusionPart,
    HeadPart,
    InnerPart,
    QueryPart,
    RefinePart,
    Sizes,
    TemporalEmbeddingPart,
    build_at,
)
from amrbench_plugins.moment_detr.summary import TextSummary

_EXAMPLES = {"spans": "spans", "scores": "foreground"}
"""What the heads together must provide, and a head that does."""

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

    width: int = budgeted(256, "width", ge=4, multiple_of=4, description="features of a row inside")
    attention_heads: int = Field(8, ge=1, description="attention heads; must divide the width")
    feedforward: int = budgeted(1024, "feedforward", ge=1, description="hidden width of feed-forward parts")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout, also of whole branches for a sample")
    eps: float = Field(
        1e-3, gt=0, lt=0.5, description="how near to 0 and 1 a share may come on its way to a logit"
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
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors that encode and decode provide."""
        of_views = {"differs"}
        return self._before_decoder().union(of_views, *(head.provides for head in self.heads))

    @model_validator(mode="after")
    def _fits_together(self) -> MomentDetr:
        if self.width % self.attention_heads:
            raise problem(
                f"attention_heads is {self.attention_heads}, which does not divide width {self.width}; "
                "give a divisor of the width."
            )
        early = [part.use for part in self.audio_refine if part.needs_token]
        if early:
            raise problem(
                f"audio_refine: {early[0]!r} needs the global token, which is made later; "
                "put it into memory_refine."
            )
        _check_heads(self.heads, self._before_decoder())
        missing = sorted(self.query.requires - self._before_decoder())
        if missing:
            raise problem(f"query: {self.query.use!r} needs {missing[0]!r}, which no earlier part provides.")
        return self

    def build(self, context: Context) -> nn.Module:
        """Return the network; each slot draws its first weights for itself."""
        sizes = Sizes(
            width=self.width,
            attention_heads=self.attention_heads,
            feedforward=self.feedforward,
            dropout=self.dropout,
            activation=self.activation.build(),
            initialise=xavier,
            context=context,
            eps=self.eps,
        )
        with context.drawing():
            return MomentDetrNetwork(self._modules(sizes), self.width)

    def _before_decoder(self) -> frozenset[str]:
        own = {"audio", "audio.refined", "audio.positions", "text", "summary.text", "summary.keys"}
        refined = {f"memory.{part.use}" for part in self.memory_refine}
        memory = {"memory", "memory.token", "memory.encoded"} | refined
        dummies = {"summary.dummies"} & {f"summary.{name}" for name in self.fusion.provides}
        return frozenset(own | memory | dummies | self.fusion.provides)

    def _modules(self, sizes: Sizes) -> Modules:
        widths = sizes.context.features
        temporal = build_at(self.temporal_embedding, "temporal_embedding", sizes)
        return Modules(
            audio_projection=_projection("audio_projection", sizes, widths.audio + temporal.columns_width),
            text_projection=_projection("text_projection", sizes, widths.text),
            audio_refine=_built(self.audio_refine, "audio_refine", sizes),
            temporal_embedding=temporal,
            fusion=build_at(self.fusion, "fusion", sizes),
            text_summary=_summary(self.text_summary, sizes),
            encoder=build_at(self.encoder, "encoder", sizes),
            memory_refine=_named(self.memory_refine, "memory_refine", sizes),
            query=build_at(self.query, "query", sizes),
            decoder=build_at(self.decoder, "decoder", sizes),
            heads=_named(self.heads, "heads", sizes),
        )


def _built(parts: Sequence[InnerPart], place: str, sizes: Sizes) -> nn.ModuleList:
    return nn.ModuleList(build_at(part, f"{place}.{part.use}", sizes) for part in parts)


def _named(parts: Sequence[InnerPart], place: str, sizes: Sizes) -> nn.ModuleDict:
    return nn.ModuleDict({part.use: build_at(part, f"{place}.{part.use}", sizes) for part in parts})


def _projection(place: str, sizes: Sizes, inputs: int) -> InputProjection:
    context = sizes.context.at(place)
    with context.drawing():
        return InputProjection(inputs, sizes.width, context.input_dropout, sizes.activation.mlp())


def _summary(part: EncoderPart, sizes: Sizes) -> TextSummary:
    # The reference draws its text encoders as its library does, the stacks of the core anew.
    encoder = build_at(part, "text_summary.encoder", replace(sizes, initialise=leave))
    with sizes.context.at("text_summary").drawing():
        return TextSummary(sizes.width, encoder)


def _check_heads(heads: Sequence[HeadPart], taken: frozenset[str]) -> None:
    owners = dict.fromkeys(taken, "an earlier part")
    for head in heads:
        for name in sorted(head.provides):
            if name in owners:
                raise problem(f"heads: {head.use!r} and {owners[name]} both provide {name!r}; keep one.")
            owners[name] = repr(head.use)
    for name, example in _EXAMPLES.items():
        if name not in owners:
            raise problem(f"heads: none of them provides {name!r}; add one that does, e.g. {example!r}.")
