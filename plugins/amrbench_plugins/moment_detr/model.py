"""`moment-detr`: a DETR over audio frames that predicts spans for a sentence; each of its blocks is a slot.

Defaults here and in the baseline's parts for the slots (layers, dummies, prompts, queries) are those of
CG-DETR in the Lighthouse library. The team's public code has the same sizes, but an `eps` of
1e-5; the report has 30 queries instead of 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, Field, model_validator
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
    TemporalEmbeddingPart,
    build_at,
    heads_fault,
    owners_of,
)
from amrbench.slots.model import ModelPart

if TYPE_CHECKING:
    from torch import Tensor, nn

    from amrbench.slots.blocks import TemporalEmbedding
    from amrbench.types import BuildContext


TOKEN_TYPE_INIT_STD = 0.02


class MomentDetr(ModelPart):
    """Encoder over [global token; audio fused with text] and decoder over moment queries."""

    use = "moment-detr"
    views: ClassVar[frozenset[str]] = frozenset({"mismatched-text"})
    example: ClassVar[Mapping[str, Any]] = {
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

    width: int = budgeted(
        256, "width", ge=4, le=4096, multiple_of=4, description="features of a row inside the model"
    )
    attention_heads: int = budgeted(
        8, "attention_heads", ge=1, le=64, description="attention heads; a divisor of the width"
    )
    feedforward: int = budgeted(
        1024, "feedforward", ge=1, le=16_384, description="hidden width of feed-forward parts"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout, also of residual branches")
    residual_dropout: Literal["branches", "elements"] = Field(
        "branches",
        description="what dropout takes from a residual branch: of some samples the whole branch (stochastic "
        "depth, CG-DETR), or single elements (QD-DETR)",
    )
    eps: float = Field(
        1e-3,
        gt=0,
        lt=0.5,
        description="least distance of a fraction from 0 and 1 before its logit is taken",
    )
    activation: ActivationPart
    audio_refine: Annotated[tuple[RefinePart, ...], AfterValidator(unique)] = ()
    temporal_embedding: TemporalEmbeddingPart
    token_types: Literal["learned", "none"] = Field(
        "learned",
        description="what is added to all words, and to all frames, to tell them apart; none in QD-DETR",
    )
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

    def _before_decoder(self) -> dict[str, str]:
        return {
            "audio.refined": "B T D",
            "audio": "B T D",
            "audio.positions": "B T D",
            "text": "B L D",
            "memory.encoded": "B T D",
            **{f"memory.{part.use}": "B T D" for part in self.memory_refine},
            "memory": "B T D",
            "memory.token": "B D",
            **self.fusion.provides,
            **(self._summary() if self.text_summary.summarises else {}),
        }

    def _summary(self) -> dict[str, str]:
        if "dummies" in self.fusion.provides:
            return {"summary.text": "B D", "summary.keys": "B S+L D", "summary.dummies": "B D"}
        return {"summary.text": "B D", "summary.keys": "B L D"}

    @model_validator(mode="after")
    def _parts_find_what_they_read(self) -> MomentDetr:
        if fault := heads_fault(self.attention_heads, self.width):
            raise problem(fault)
        if not self.encoder.summarises:
            raise problem(
                f"encoder: with {self.encoder.use!r} the global token reads no frame; name another encoder."
            )
        for part in self.audio_refine:
            if part.needs_token:
                raise problem(
                    f"audio_refine: {part.use!r} needs the global token, which the fusion makes later; "
                    "put it into memory_refine."
                )
        for name in sorted(self.query.requires - self._before_decoder().keys()):
            raise problem(f"query: {self.query.use!r} needs {name!r}, which no earlier part provides.")
        return self

    @model_validator(mode="after")
    def _heads_provide_spans_and_scores(self) -> MomentDetr:
        owners = owners_of(self.heads, dict.fromkeys(self._before_decoder(), "an earlier part"))
        for name, example in (("spans", "spans"), ("scores", "foreground")):
            if name not in owners:
                raise problem(f"heads: none of them provides {name!r}; add one that does, e.g. {example!r}.")
        return self

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from torch import nn

        from amrbench_plugins.moment_detr.layers import xavier
        from amrbench_plugins.moment_detr.network import MomentDetrNetwork

        blocks = BlockContext(
            width=self.width,
            attention_heads=self.attention_heads,
            feedforward=self.feedforward,
            dropout=self.dropout,
            activation=self.activation.build(),
            initialise=xavier,
            build=context,
            eps=self.eps,
            residual_dropout=self.residual_dropout,
        )
        temporal = build_at(self.temporal_embedding, "temporal_embedding", blocks)
        columns = cast("TemporalEmbedding", temporal).columns_width
        with context.drawing():
            return MomentDetrNetwork(
                self.width,
                _token_types(self.token_types, self.width),
                audio_projection=_projection("audio_projection", blocks, context.features.audio + columns),
                text_projection=_projection("text_projection", blocks, context.features.text),
                audio_refine=nn.ModuleList(_built(self.audio_refine, "audio_refine", blocks).values()),
                temporal_embedding=temporal,
                fusion=build_at(self.fusion, "fusion", blocks),
                text_summary=_text_summary(self.text_summary, blocks),
                encoder=build_at(self.encoder, "encoder", blocks),
                memory_refine=nn.ModuleDict(_built(self.memory_refine, "memory_refine", blocks)),
                query=build_at(self.query, "query", blocks),
                decoder=build_at(self.decoder, "decoder", blocks),
                heads=nn.ModuleDict(_built(self.heads, "heads", blocks)),
            )


def _token_types(kind: str, width: int) -> Tensor:
    """Return (2, D); they are as small as those of the reference."""
    import torch
    from torch import nn

    if kind == "none":
        return nn.Buffer(torch.zeros(2, width), persistent=False)
    return nn.Parameter(torch.randn(2, width) * TOKEN_TYPE_INIT_STD)


def _text_summary(part: EncoderPart, context: BlockContext) -> nn.Module:
    from amrbench_plugins.moment_detr.layers import keep_weights
    from amrbench_plugins.moment_detr.summary import NoSummary, TextSummary

    if not part.summarises:
        return NoSummary()
    encoder = build_at(part, "text_summary.encoder", replace(context, initialise=keep_weights))
    with context.build.at("text_summary").drawing():
        return TextSummary(context.width, encoder)


def _built(parts: Sequence[BlockPart], path: str, context: BlockContext) -> dict[str, nn.Module]:
    return {part.use: build_at(part, f"{path}.{part.use}", context) for part in parts}


def _projection(path: str, context: BlockContext, inputs: int) -> nn.Module:
    from amrbench_plugins.moment_detr.layers import InputProjection

    build = context.build.at(path)
    with build.drawing():
        return InputProjection(inputs, context.width, build.input_dropout, context.activation.mlp())
