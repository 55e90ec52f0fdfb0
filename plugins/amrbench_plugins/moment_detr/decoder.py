"""The DAB decoder: queries carry spans that each layer corrects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import BlockContext, Corrections, Decoded, Memory, PriorPart, Queries, build_at
from amrbench_plugins.moment_detr.dropout import RESIDUAL_SUMS, ResidualSum
from amrbench_plugins.moment_detr.layers import (
    BlockLinear,
    FeedForward,
    Perceptron,
    attention,
    bias_of,
    split_heads,
    start_corrections,
)
from amrbench_plugins.moment_detr.positions import anchor_sine

MIN_WIDTH = 1e-4
"""Least width of an anchor that sine codes are divided by."""


@dataclass(frozen=True)
class QueryPositions:
    """The positions of the queries, in the two forms that a layer reads."""

    embedding: Tensor
    """(B, Q, D) added to queries and keys of the self attention."""
    sine: Tensor
    """(B, Q, D) compared with the positions of the frames."""


class DecoderSelfAttention(nn.Module):
    """Attention between queries; contents and positions have projections of their own."""

    def __init__(self, width: int, heads: int, p: float) -> None:
        super().__init__()
        self.content = BlockLinear(width, width, 3)
        self.position = BlockLinear(width, width, 2)
        self.out = nn.Linear(width, width)
        self.heads = heads
        self.p = p
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Map (B, Q, D) with positions of the same shape to (B, Q, D)."""
        query, key, value = self.content(x).chunk(3, -1)
        query_position, key_position = self.position(position).chunk(2, -1)
        query, key = query + query_position, key + key_position
        query, key, value = (split_heads(rows, self.heads) for rows in (query, key, value))
        return self.out(attention(query, key, value, None, p=self.p, training=self.training))  # type: ignore[no-any-return]


class DecoderCrossAttention(nn.Module):
    """Attention from queries to frames; each head compares content and position, concatenated."""

    def __init__(self, width: int, heads: int, p: float, *, first: bool) -> None:
        """In the `first` layer, contents are also given their positions, as in the reference."""
        super().__init__()
        self.query_position = nn.Linear(width, width) if first else None
        self.query = nn.Linear(width, width)
        self.query_sine = nn.Linear(width, width)
        self.frames = BlockLinear(width, width, 2)
        self.frame_position = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.heads = heads
        self.p = p
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, positions: QueryPositions, memory: Memory, bias: Tensor) -> Tensor:
        """Map queries (B, Q, D) to (B, Q, D); the bias broadcasts to (B, H, Q, T)."""
        key, value = self.frames(memory.frames).chunk(2, -1)
        key_position = self.frame_position(memory.positions)
        query = self.query(x)
        if self.query_position is not None:
            query, key = query + self.query_position(positions.embedding), key + key_position
        queries = self._concat_heads(query, self.query_sine(positions.sine))
        keys = self._concat_heads(key, key_position)
        values = split_heads(value, self.heads)
        return self.out(attention(queries, keys, values, bias, p=self.p, training=self.training))  # type: ignore[no-any-return]

    def _concat_heads(self, content: Tensor, position: Tensor) -> Tensor:
        """Return (B, H, n, 2 D / H)."""
        return torch.cat([split_heads(content, self.heads), split_heads(position, self.heads)], -1)


class NoSelfAttention(nn.Module):
    """Queries learn nothing of each other."""

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Return zeros of the shape of the queries (B, Q, D)."""
        return torch.zeros_like(x)


class DecoderLayer(nn.Module):
    """Self attention, cross attention and feed-forward, each added and then normalised."""

    def __init__(
        self,
        prior: nn.Module,
        self_attention: nn.Module,
        cross_attention: DecoderCrossAttention,
        feedforward: FeedForward,
        residual_sum: ResidualSum,
    ) -> None:
        super().__init__()
        width = feedforward.up.in_features
        self.attention = self_attention
        self.norm1 = nn.LayerNorm(width)
        self.cross = cross_attention
        self.prior = prior
        self.norm2 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm3 = nn.LayerNorm(width)
        self.residual_sum = residual_sum

    def forward(
        self, x: Tensor, positions: QueryPositions, anchors: Tensor, memory: Memory, bias: Tensor
    ) -> Tensor:
        """Return (B, Q, D) for queries x (B, Q, D) at the anchors (B, Q, 2)."""
        x = self._add(self.norm1, x, self.attention(x, positions.embedding))
        bias = bias + self.prior(anchors, x, memory.mask)
        x = self._add(self.norm2, x, self.cross(x, positions, memory, bias))
        return self._add(self.norm3, x, self.feedforward(x))

    def _add(self, norm: nn.Module, x: Tensor, branch: Tensor) -> Tensor:
        return norm(self.residual_sum(x, branch))  # type: ignore[no-any-return]


class AnchorEmbedding(nn.Module):
    """Turns anchors into positions, scaled by the contents of the queries."""

    def __init__(self, width: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.position = Perceptron((width, width, width), activation)
        self.scale = Perceptron((width, width, width), activation)
        self.width = Perceptron((width, width, 1), activation)

    def forward(self, content: Tensor, anchors: Tensor, *, first: bool) -> QueryPositions:
        """Return the positions of queries (B, Q, D) at anchors (B, Q, 2); the first layer has no `scale`.

        The sine code is also multiplied by a predicted width over the anchor's width, as DAB-DETR modulates
        its attention (Liu et al. 2022, section 4.4).
        """
        sine = anchor_sine(anchors, content.shape[-1]).to(content.dtype)
        embedding = self.position(sine)
        if not first:
            sine = sine * self.scale(content)
        predicted = self.width(content).sigmoid()
        return QueryPositions(embedding, sine * (predicted / anchors[..., 1:].clamp(min=MIN_WIDTH)))


class DabDecoder(nn.Module):
    """Decoder layers; all of them share the embedding of anchors and their correction."""

    def __init__(
        self, layers: list[DecoderLayer], embedding: AnchorEmbedding, correction: Perceptron, eps: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.anchor_embedding = embedding
        self.correction = correction
        self.eps = eps
        self.norm = nn.LayerNorm(embedding.position.last.out_features)

    def forward(self, queries: Queries, memory: Memory) -> Decoded:
        """Return normalised states and starting anchors of all layers.

        Anchors pass gradients to the heads, but not to the next layer.
        """
        x, anchors, current = queries.content, [queries.anchors], queries.anchors
        bias = bias_of(memory.mask[:, None, None], x.dtype)
        hidden = []
        for index, layer in enumerate(self.layers):
            positions = self.anchor_embedding(x, current, first=index == 0)
            x = layer(x, positions, current, memory, bias)
            hidden.append(x)
            if index + 1 < len(self.layers):
                anchors.append((self.correction(x) + inverse_sigmoid(current, self.eps)).sigmoid())
                current = anchors[-1].detach()
        return Decoded(self.norm(torch.stack(hidden)), torch.stack(anchors))


def build_decoder(
    context: BlockContext,
    *,
    layers: int,
    prior: PriorPart,
    self_attention: Callable[[], nn.Module],
    corrections: Corrections,
) -> DabDecoder:
    """Return a decoder.

    Args:
        context: Sizes and initialisation.
        layers: Their number.
        prior: Of each layer.
        self_attention: Makes the module of a layer that lets queries read each other: queries (B, Q, D) and
            their positions to (B, Q, D).
        corrections: Of the anchors between layers, before training.
    """
    width, heads, p = context.width, context.attention_heads, context.dropout
    correction = Perceptron((width, width, width, 2), context.activation.mlp)
    embedding = AnchorEmbedding(width, context.activation.mlp)
    built = [
        DecoderLayer(
            build_at(prior, f"layers.{index}.prior", context),
            self_attention(),
            DecoderCrossAttention(width, heads, p, first=index == 0),
            FeedForward(width, context.feedforward, p, context.activation.feedforward()),
            RESIDUAL_SUMS[context.residual_dropout](p),
        )
        for index in range(layers)
    ]
    context.initialise(embedding)
    context.initialise(correction)
    nn.init.zeros_(correction.last.bias)  # In the reference too, which draws the weights.
    start_corrections(correction.last, corrections)
    for layer in built:
        for name, module in layer.named_children():
            if name != "prior":  # which draws its own weights
                context.initialise(module)
    return DabDecoder(built, embedding, correction, context.eps)
