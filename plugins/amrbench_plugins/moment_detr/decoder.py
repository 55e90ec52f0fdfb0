"""The DAB decoder: queries carry spans that each layer corrects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from amrbench.functional.spans import inverse_sigmoid
from amrbench.part import budgeted
from amrbench.slots.blocks import (
    Activation,
    BlockContext,
    Decoded,
    DecoderPart,
    Memory,
    PriorPart,
    Queries,
    build_at,
)
from amrbench_plugins.moment_detr.layers import (
    BlockLinear,
    FeedForward,
    Perceptron,
    attention,
    bias_of,
    residual,
    split_heads,
)
from amrbench_plugins.moment_detr.positions import anchor_sine

SMALLEST_WIDTH = 1e-4


@dataclass(frozen=True)
class Places:
    """Where queries stand, in the two forms that a layer reads."""

    position: Tensor
    """(B, Q, D) added to queries and keys of the self attention."""
    sine: Tensor
    """(B, Q, D) compared with the positions of the frames."""


@dataclass(frozen=True)
class Seen:
    """The memory as all layers see it, with one bias of the current layer."""

    memory: Memory
    bias: Tensor
    """Broadcasts to (B, H, Q, T)."""


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
        query_place, key_place = self.position(position).chunk(2, -1)
        query, key = query + query_place, key + key_place
        query, key, value = (split_heads(part, self.heads) for part in (query, key, value))
        return self.out(attention(query, key, value, None, p=self.p, training=self.training))  # type: ignore[no-any-return]


class DecoderCrossAttention(nn.Module):
    """Attention from queries to frames by content and place, which stand side by side in each head."""

    def __init__(self, width: int, heads: int, p: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.query_sine = nn.Linear(width, width)
        self.frames = BlockLinear(width, width, 2)
        self.frame_position = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.heads = heads
        self.p = p
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, place: Tensor | None, sine: Tensor, seen: Seen) -> Tensor:
        """Map (B, Q, D) to (B, Q, D).

        Args:
            x: Queries.
            place: (B, Q, D) added to the contents of the queries, as frame positions are to the contents
                of the frames; None leaves both contents alone.
            sine: (B, Q, D) where the queries look.
            seen: The memory and the bias of this layer.
        """
        key, value = self.frames(seen.memory.frames).chunk(2, -1)
        key_place = self.frame_position(seen.memory.positions)
        query = self.query(x)
        if place is not None:
            query, key = query + place, key + key_place
        queries = self._side_by_side(query, self.query_sine(sine))
        keys = self._side_by_side(key, key_place)
        values = split_heads(value, self.heads)
        out = attention(queries, keys, values, seen.bias, p=self.p, training=self.training)
        return self.out(out)  # type: ignore[no-any-return]

    def _side_by_side(self, content: Tensor, place: Tensor) -> Tensor:
        return torch.cat([split_heads(content, self.heads), split_heads(place, self.heads)], -1)


class DecoderLayer(nn.Module):
    """Self attention, cross attention and feed-forward, each added and then normalised."""

    def __init__(self, context: BlockContext, prior: nn.Module, *, placed: bool) -> None:
        """`placed`: contents know their places too, as in the first layer of the reference."""
        super().__init__()
        width, p = context.width, context.dropout
        self.attention = DecoderSelfAttention(width, context.attention_heads, p)
        self.norm1 = nn.LayerNorm(width)
        self.place = nn.Linear(width, width) if placed else None
        self.cross = DecoderCrossAttention(width, context.attention_heads, p)
        self.prior = prior
        self.norm2 = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, context.feedforward, p, context.activation.feedforward())
        self.norm3 = nn.LayerNorm(width)
        self.p = p

    def forward(self, x: Tensor, places: Places, anchors: Tensor, seen: Seen) -> Tensor:
        """Return (B, Q, D) for queries x (B, Q, D) that stand at the anchors (B, Q, 2)."""
        x = self._added(self.norm1, x, self.attention(x, places.position))
        place = None if self.place is None else self.place(places.position)
        bias = seen.bias + self.prior(anchors, x, seen.memory.mask)
        x = self._added(self.norm2, x, self.cross(x, place, places.sine, Seen(seen.memory, bias)))
        return self._added(self.norm3, x, self.feedforward(x))

    def _added(self, norm: nn.Module, x: Tensor, branch: Tensor) -> Tensor:
        return norm(residual(x, branch, self.p, training=self.training))  # type: ignore[no-any-return]


class Placing(nn.Module):
    """Turns anchors into positions, sharpened by what the queries have found so far."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.position = Perceptron((width, width, width), activation.mlp)
        self.scale = Perceptron((width, width, width), activation.mlp)
        self.width = Perceptron((width, width, 1), activation.mlp)

    def forward(self, content: Tensor, anchors: Tensor, *, first: bool) -> Places:
        """Return the places of queries (B, Q, D) at anchors (B, Q, 2); the first layer is not rescaled."""
        sine = anchor_sine(anchors, content.shape[-1]).to(content.dtype)
        position = self.position(sine)
        if not first:
            sine = sine * self.scale(content)
        predicted = self.width(content).sigmoid()
        return Places(position, sine * (predicted / anchors[..., 1:].clamp(min=SMALLEST_WIDTH)))


class DabDecoder(nn.Module):
    """Layers that p how anchors become places and how they are corrected."""

    def __init__(
        self, layers: list[DecoderLayer], placing: Placing, correction: Perceptron, eps: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.placing = placing
        self.correction = correction
        self.eps = eps
        self.norm = nn.LayerNorm(placing.position.last.out_features)

    def forward(self, queries: Queries, memory: Memory) -> Decoded:
        """Return normalised states and starting anchors of all layers.

        Anchors carry their gradient into the heads, but not into the next layer.
        """
        x, anchors, current = queries.content, [queries.anchors], queries.anchors
        seen = Seen(memory, bias_of(memory.mask[:, None, None], x.dtype))
        hidden = []
        for index, layer in enumerate(self.layers):
            x = layer(x, self.placing(x, current, first=index == 0), current, seen)
            hidden.append(x)
            if index + 1 < len(self.layers):
                anchors.append((self.correction(x) + inverse_sigmoid(current, self.eps)).sigmoid())
                current = anchors[-1].detach()
        return Decoded(self.norm(torch.stack(hidden)), torch.stack(anchors))


class Dab(DecoderPart):
    """Dynamic anchors: each layer attends around its queries' spans and corrects them (DAB-DETR)."""

    use = "dab"
    layers: int = budgeted(3, "layers", ge=1, description="number of layers")
    prior: PriorPart = Field("flat", validate_default=True, description="where attention leans")

    def build(self, context: BlockContext) -> nn.Module:
        """Return the decoder."""
        width = context.width
        correction = Perceptron((width, width, width, 2), context.activation.mlp)
        placing = Placing(width, context.activation)
        layers = [self._layer(context, index) for index in range(self.layers)]
        decoder = DabDecoder(layers, placing, correction, context.eps)
        _initialise(decoder, context)
        return decoder

    def _layer(self, context: BlockContext, index: int) -> DecoderLayer:
        prior = build_at(self.prior, f"layers.{index}.prior", context)
        return DecoderLayer(context, prior, placed=index == 0)


def _initialise(decoder: DabDecoder, context: BlockContext) -> None:
    # Not the priors, which draw their own weights. The corrections start at zero for most decoders of
    # this kind; the reference draws them anew with the rest.
    nn.init.zeros_(decoder.correction.last.bias)
    context.initialise(decoder.placing)
    context.initialise(decoder.correction)
    for layer in decoder.layers:
        for name, module in layer.named_children():
            if name != "prior":
                context.initialise(module)
