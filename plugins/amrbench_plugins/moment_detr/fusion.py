"""Adaptive cross attention of CG-DETR: audio attends to words, and to dummies that have no value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.slots.blocks import AttentionNorm, Fused, Keys, Tokens, learned_tokens
from amrbench_plugins.moment_detr.dropout import ResidualSum, dropout
from amrbench_plugins.moment_detr.layers import (
    FeedForward,
    ResidualBlock,
    attention_weights,
    bias_of,
    in_blocks,
    merge_heads,
    split_heads,
)
from amrbench_plugins.moment_detr.packing import Packing


@dataclass(frozen=True)
class Attended:
    """Audio after one layer, and its attention weights."""

    features: Tensor
    """(B, T, D)"""
    weights: Tensor
    """(B, T, K) averaged over heads."""


class CrossLayer(ResidualBlock):
    """Cross attention without projections of queries, keys and values, and a feed-forward part.

    Dummies take part in the softmax, but only words have values.
    """

    def __init__(
        self, *, heads: int, norm: AttentionNorm, feedforward: FeedForward, residual_sum: ResidualSum
    ) -> None:
        super().__init__()
        width = feedforward.up.in_features
        self.heads = heads
        self.norm = norm
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm2 = nn.LayerNorm(width)
        self.residual_sum = residual_sum
        nn.init.zeros_(self.out.bias)

    def forward(self, audio: Tokens, keys: Keys, bias: Tensor, packing: Packing | None = None) -> Attended:
        """Attend to the keys under a bias on the logits.

        Only the frames that a packing of the B * T frames takes pass the feed-forward part.
        """
        x, text = audio.features, self.norm.text(keys.tokens.features)
        query = split_heads(self.norm.audio(x) + audio.positions, self.heads)
        key = split_heads(text + keys.tokens.positions, self.heads)
        weights = attention_weights(query, key, bias)
        on_words = dropout(weights[..., keys.dummies :], self.residual_sum.p, self.training)
        value = split_heads(text[:, keys.dummies :], self.heads)
        return Attended(self.add(x, self.out(merge_heads(on_words @ value)), packing), weights.mean(1))

    def without_keys(self, x: Tensor) -> Tensor:
        """Pass rows that attend to nothing: only the bias of the output map is left of the attention."""
        return self.add(x, self.out.bias)


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
        real = audio.mask.to(audio.features.dtype)
        mean = torch.einsum("bnd,bn->bd", audio.features, real) / real.sum(1, keepdim=True)
        mean = mean[:, None].detach()
        cosine = F.normalize(audio.features - mean, dim=-1) @ F.normalize(self.prompts, dim=-1).T
        importance = importance.detach() * audio.mask
        tiny = torch.finfo(importance.dtype).tiny
        weights = importance / importance.sum(1, keepdim=True).clamp(min=tiny)
        scores = (cosine.softmax(-1) * weights[..., None]).sum(1)  # (B, P)
        chosen = torch.zeros_like(scores).scatter(1, scores.topk(self.used, 1).indices, 1.0)
        return ((scores * chosen) @ self.prompts)[:, None] + mean


class AdaptiveFusion(nn.Module):
    """Dummies conditioned on the text, layers of cross attention, and the global token.

    Provides "dummies" (B, S, D), "prompts" (P, D), "attention" (B, T, S + L): weights averaged over heads
    and layers, and "attention.text" (B, T): their sum over words.
    """

    def __init__(
        self, *, dummies: int, dummy_encoder: nn.Module, layers: list[CrossLayer], token: GlobalToken
    ) -> None:
        super().__init__()
        width = token.prompts.shape[1]
        self.dummies = nn.Parameter(torch.randn(dummies, width))
        self.dummy_positions = nn.Parameter(torch.randn(dummies, width))
        self.dummy_encoder = dummy_encoder
        self.layers = nn.ModuleList(layers)
        self.token = token

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
        bias = bias_of(keys.tokens.mask[:, None, None], audio.features.dtype)
        fused, weights = audio, []
        for index, layer in enumerate(self.layers):
            packing = self._packing(audio, last=index + 1 == len(self.layers))
            attended = layer(fused, keys, bias, packing=packing)
            fused = fused.with_features(attended.features)
            weights.append(attended.weights)
        attention = torch.stack(weights).mean(0)
        on_words = attention[..., keys.dummies :].sum(-1).clamp(0, 1)
        token = self.token(audio, on_words)
        for layer in self.layers:
            token = cast(CrossLayer, layer).without_keys(token)
        tensors = {"attention": attention, "attention.text": on_words}
        return Fused(fused, token[:, 0], self.token.position, tensors)

    def _packing(self, audio: Tokens, *, last: bool) -> Packing | None:
        """Return which frames of long recordings pass the feed-forward part of a layer.

        Means over frames include the attention of padded ones, so only the last layer can leave them out.
        """
        if not in_blocks(audio.features):
            return None
        return Packing.of(audio.mask if last else torch.ones_like(audio.mask))
