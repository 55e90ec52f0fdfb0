"""Adaptive cross attention of CG-DETR: audio attends to words, and to dummies that have no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from amrbench.part import budgeted, problem
from amrbench.slots.blocks import (
    AttentionNorm,
    BlockContext,
    EncoderPart,
    Fused,
    FusionPart,
    Keys,
    NormPart,
    Tokens,
    build_at,
    learned_tokens,
)
from amrbench_plugins.moment_detr.layers import (
    FeedForward,
    attention_weights,
    bias_of,
    dropout,
    keep_weights,
    merge_heads,
    residual,
    split_heads,
)

PairMask = Callable[[Tensor, Tensor, int], Tensor]
"""(mask of frames (B, T), mask of keys (B, K), heads) -> (B, 1 or H, 1 or T, K), True for visible keys."""


def real_keys(frames: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Let every frame see every real key, in all heads."""
    del frames, heads
    return keys[:, None, None]


@dataclass(frozen=True)
class Attended:
    """Audio after one layer, and its attention weights."""

    features: Tensor
    """(B, T, D)"""
    weights: Tensor
    """(B, T, K) averaged over heads."""


class CrossLayer(nn.Module):
    """Cross attention without projections of queries, keys and values, and a feed-forward part.

    Dummies take part in the softmax, but only words have values. The second residual adds the sum from
    before the first norm, as the reference does.
    """

    def __init__(self, *, heads: int, norm: AttentionNorm, feedforward: FeedForward, p: float) -> None:
        super().__init__()
        width = feedforward.up.in_features
        self.heads = heads
        self.norm = norm
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm2 = nn.LayerNorm(width)
        self.p = p
        nn.init.zeros_(self.out.bias)

    def forward(self, audio: Tokens, keys: Keys, bias: Tensor) -> Attended:
        """Attend to the keys under a bias on the logits."""
        x, text = audio.features, self.norm.text(keys.tokens.features)
        query = split_heads(self.norm.audio(x) + audio.positions, self.heads)
        key = split_heads(text + keys.tokens.positions, self.heads)
        weights = attention_weights(query, key, bias)
        on_words = dropout(weights[..., keys.dummies :], self.p, self.training)
        value = split_heads(text[:, keys.dummies :], self.heads)
        return Attended(self._add(x, self.out(merge_heads(on_words @ value))), weights.mean(1))

    def without_keys(self, x: Tensor) -> Tensor:
        """Pass rows that attend to nothing: only the bias of the output map is left of the attention."""
        return self._add(x, self.out.bias)

    def _add(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add attention and feed-forward to x."""
        x = residual(x, attended, self.p, training=self.training)
        changed = self.feedforward(self.norm1(x))
        return self.norm2(residual(x, changed, self.p, training=self.training))  # type: ignore[no-any-return]


class GlobalToken(nn.Module):
    """Summarises a recording as a mixture of learned prompts, weighted by frames that attend to words."""

    def __init__(self, *, width: int, prompts: int, used: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.randn(prompts, width))
        self.position = nn.Parameter(torch.randn(width))
        self.used = used

    def forward(self, audio: Tokens, importance: Tensor) -> Tensor:
        """Return (B, 1, D).

        Args:
            audio: Frames before the cross attention.
            importance: (B, T) attention of each frame to words.
        """
        mean = masked_mean(audio.features, audio.mask).detach()[:, None]
        cosine = F.normalize(audio.features - mean, dim=-1) @ F.normalize(self.prompts, dim=-1).T
        importance = importance.detach() * audio.mask
        tiny = torch.finfo(importance.dtype).tiny
        weights = importance / importance.sum(1, keepdim=True).clamp(min=tiny)
        scores = (cosine.softmax(-1) * weights[..., None]).sum(1)  # (B, P)
        chosen = torch.zeros_like(scores).scatter(1, scores.topk(self.used, 1).indices, 1.0)
        return ((scores * chosen) @ self.prompts)[:, None] + mean


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (B, D) over the real rows of (B, n, D)."""
    real = mask.to(x.dtype)
    return torch.einsum("bnd,bn->bd", x, real) / real.sum(1, keepdim=True)


class AdaptiveFusion(nn.Module):
    """Dummies conditioned on the text, layers of cross attention, and the global token.

    Provides "dummies" (B, S, D), "prompts" (P, D), "attention" (B, T, S + L): weights averaged over heads
    and layers, and "attention.text" (B, T): their sum over words.
    """

    def __init__(
        self,
        *,
        dummies: int,
        dummy_encoder: nn.Module,
        layers: list[CrossLayer],
        token: GlobalToken,
        pair_mask: PairMask = real_keys,
    ) -> None:
        super().__init__()
        width = token.prompts.shape[1]
        self.dummies = nn.Parameter(torch.randn(dummies, width))
        self.dummy_positions = nn.Parameter(torch.randn(dummies, width))
        self.dummy_encoder = dummy_encoder
        self.layers = nn.ModuleList(layers)
        self.token = token
        self.heads = layers[0].heads
        self.pair_mask = pair_mask

    def keys(self, words: Tokens) -> Keys:
        """Condition the dummies on the words and put them before the words."""
        count = self.dummies.shape[0]
        learned = learned_tokens(self.dummies, self.dummy_positions, words.mask.shape[0])
        both = learned.followed_by(words)
        dummies = self.dummy_encoder(both, first=count)
        tokens = both.with_features(torch.cat([dummies, words.features], 1))
        return Keys(tokens, count, {"dummies": dummies, "prompts": self.token.prompts})

    def forward(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse audio with keys and summarise it in a token."""
        visible = self.pair_mask(audio.mask, keys.tokens.mask, self.heads)
        bias = bias_of(visible, audio.features.dtype)
        fused, weights = audio, []
        for layer in self.layers:
            attended = layer(fused, keys, bias)
            fused = fused.with_features(attended.features)
            weights.append(attended.weights)
        attention = torch.stack(weights).mean(0) if len(weights) > 1 else weights[0]
        on_words = attention[..., keys.dummies :].sum(-1).clamp(0, 1)
        token = self.token(audio, on_words)
        for layer in self.layers:
            token = cast(CrossLayer, layer).without_keys(token)
        tensors = {"attention": attention, "attention.text": on_words}
        return Fused(fused, token[:, 0], self.token.position, tensors)


class AdaptiveCrossAttention(FusionPart):
    """Adaptive cross attention with text-conditioned dummies and a prompted global token (CG-DETR)."""

    use = "adaptive-cross-attention"
    layers: int = budgeted(2, "layers", ge=1, description="layers of cross attention")
    dummies: int = budgeted(45, "dummies", ge=1, description="dummy tokens, which take attention from words")
    dummy_encoder: EncoderPart = Field(
        {"use": "transformer", "layers": 2},
        validate_default=True,
        description="conditions the dummies on the words",
    )
    prompts: int = Field(10, ge=1, description="learned prompts that the global token is mixed from")
    prompts_used: int = Field(2, ge=1, description="prompts that the token of one recording is mixed from")
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
        return {
            "attention": "B T S+L",
            "attention.text": "B T",
            "dummies": "B S D",
            "prompts": "P D",
        }

    @override
    def build(self, context: BlockContext) -> nn.Module:
        layers = [self._layer(context, index) for index in range(self.layers)]
        as_drawn = replace(context, initialise=keep_weights)
        return AdaptiveFusion(
            dummies=self.dummies,
            dummy_encoder=build_at(self.dummy_encoder, "dummy_encoder", as_drawn),
            layers=layers,
            token=GlobalToken(width=context.width, prompts=self.prompts, used=self.prompts_used),
        )

    def _layer(self, context: BlockContext, index: int) -> CrossLayer:
        activation = context.activation.feedforward()
        layer = CrossLayer(
            heads=context.attention_heads,
            norm=cast("AttentionNorm", build_at(self.norm, f"layers.{index}.norm", context)),
            feedforward=FeedForward(context.width, context.feedforward, context.dropout, activation),
            p=context.dropout,
        )
        for module in (layer.out, layer.feedforward):
            context.initialise(module)
        return layer
