"""Layers shared by the parts: attention, feed-forward, projections, initialisation.

The choice of an attention kernel and the backward pass of PReLU are in one function each, so that a faster
version for one device changes one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.functional.arrays import in_array
from amrbench.slots.blocks import Corrections, Tokens
from amrbench_plugins.moment_detr.activations import PReLU as PReLU
from amrbench_plugins.moment_detr.blocked_attention import packed_attention
from amrbench_plugins.moment_detr.blocked_feedforward import blocked_feedforward
from amrbench_plugins.moment_detr.dropout import ResidualSum
from amrbench_plugins.moment_detr.dropout import StochasticDepth as StochasticDepth
from amrbench_plugins.moment_detr.dropout import dropout as dropout
from amrbench_plugins.moment_detr.packing import Packing

LONG = 128
"""From so many rows on, sequences are computed in blocks on CPUs, where this saves time."""
LARGE = 1 << 18
"""From so many numbers on, batches of shorter sequences are too, where there are gradients."""


def in_blocks(x: Tensor) -> bool:
    """Return whether rows (..., n, D) are computed in blocks: many of them, in full precision on a CPU.

    Blocks do not know of arrays of models, which are for GPUs.
    """
    if x.device.type != "cpu" or x.dim() < 2 or in_array(x):
        return False
    if x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    return x.shape[-2] >= LONG or (x.numel() >= LARGE and torch.is_grad_enabled())


class BlockLinear(nn.Linear):
    """Several linear maps of the same input in one product; `xavier` draws each block on its own."""

    def __init__(self, width: int, out: int, blocks: int) -> None:
        super().__init__(width, blocks * out)
        self.blocks = blocks


def xavier(module: nn.Module) -> None:
    """Draw every weight of more than one axis anew, Xavier-uniform; a `BlockLinear` block by block."""
    for layer in module.modules():
        blocks = layer.blocks if isinstance(layer, BlockLinear) else 1
        for parameter in layer.parameters(recurse=False):
            if parameter.dim() > 1:
                for block in parameter.detach().chunk(blocks):
                    nn.init.xavier_uniform_(block)


def keep_weights(module: nn.Module) -> None:
    """Keep the weights that the layers drew.

    The reference does so for its encoders of text, while it draws the stacks of its core anew.
    """


def start_corrections(last: nn.Linear, corrections: Corrections) -> None:
    """Set the last linear map before the corrections of spans to zero, or keep it as it was drawn."""
    if corrections == "zero":
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


def zero_padding(features: Tensor, mask: Tensor) -> Tensor:
    """Return features (B, T, D) with zeros where the mask (B, T) is False."""
    # Padded rows may hold anything; a NaN would survive products with zero.
    return features.masked_fill(~mask[..., None], 0)


class Perceptron(nn.Module):
    """Linear maps with an activation between each two."""

    def __init__(self, widths: tuple[int, ...], activation: Callable[[], nn.Module]) -> None:
        """Widths go from the input to the output."""
        super().__init__()
        pairs = list(pairwise(widths))
        self.linears = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairs)
        self.activations = nn.ModuleList(activation() for _ in pairs[1:])

    @property
    def last(self) -> nn.Linear:
        """Return the last linear map."""
        return cast(nn.Linear, self.linears[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., first width) to (..., last width)."""
        for linear, activation in zip(self.linears, self.activations, strict=False):
            x = activation(linear(x))
        return self.last(x)  # type: ignore[no-any-return]


class InputProjection(nn.Module):
    """Two units of normalisation, dropout and a linear map, with an activation after the first."""

    def __init__(self, inputs: int, width: int, p: float, activation: nn.Module) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(inputs), nn.LayerNorm(width)])
        self.linears = nn.ModuleList([nn.Linear(inputs, width), nn.Linear(width, width)])
        self.activation = activation
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n, inputs) to (B, n, D)."""
        x = self.linears[0](dropout(self.norms[0](x), self.p, self.training))
        x = self.norms[1](self.activation(x))
        return self.linears[1](dropout(x, self.p, self.training))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear maps with an activation and dropout between."""

    def __init__(self, width: int, hidden: int, p: float, activation: nn.Module) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.activation = activation
        self.down = nn.Linear(hidden, width)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        if in_blocks(x):
            p = self.p if self.training else 0.0
            return blocked_feedforward(x, self.up, self.activation, self.down, p)
        return self.down(dropout(self.activation(self.up(x)), self.p, self.training))  # type: ignore[no-any-return]


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what to add to attention logits so that only visible pairs count.

    Every query must see at least one key.

    Args:
        visible: Bool of any shape, True where a query sees a key.
        dtype: Of the logits.
    """
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return bias.masked_fill(~visible, torch.finfo(dtype).min)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, H, n, D / H) of (B, n, D)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Return (B, n, D) of (B, H, n, D / H)."""
    return x.transpose(1, 2).flatten(2)


def attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, p: float, training: bool
) -> Tensor:
    """Return scaled dot-product attention with dropout on the weights.

    Args:
        query: (B, H, m, E).
        key: (B, H, n, E).
        value: (B, H, n, V).
        bias: Added to the logits; None or broadcasting to (B, H, m, n).
        p: Probability of dropping a weight.
        training: Whether anything is dropped at all.

    Returns:
        (B, m, H * V).
    """
    dropping = training and p > 0
    if not query.is_cuda and (dropping or in_array(query)):
        # On CPUs torch draws the mask slowly, see `dropout`, and takes the models of an array one by one.
        weights = attention_weights(query, key, bias)
        return merge_heads(dropout(weights, p, training) @ value)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=p if dropping else 0.0)
    return merge_heads(out)


def attention_weights(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Return softmax attention weights (B, H, m, n) of queries and keys."""
    scale: float = query.shape[-1] ** -0.5
    logits = (query * scale) @ key.transpose(-1, -2)
    return (logits if bias is None else logits + bias).softmax(-1)


class SelfAttention(nn.Module):
    """Multi-head self attention with positions on queries and keys only."""

    def __init__(self, width: int, heads: int, p: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads = heads
        self.p = p
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, positions: Tensor, bias: Tensor, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows; then the bias must be the same for all rows."""
        positioned, width = x + positions, x.shape[-1]
        # Queries and keys in one product where both are needed of all rows.
        sizes = [2 * width, width] if first is None else [width, width, width]
        weights, biases = torch.split(self.qkv.weight, sizes), torch.split(self.qkv.bias, sizes)
        if first is None:
            query, key = F.linear(positioned, weights[0], biases[0]).chunk(2, -1)
        else:
            query = F.linear(positioned[:, :first], weights[0], biases[0])
            key = F.linear(positioned, weights[1], biases[1])
        value = F.linear(x, weights[-1], biases[-1])
        query, key, value = (split_heads(rows, self.heads) for rows in (query, key, value))
        return self.out(attention(query, key, value, bias, p=self.p, training=self.training))  # type: ignore[no-any-return]

    def packed(self, x: Tensor, positions: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return (N, D) of the rows of sequences of these lengths; each sees those of its sequence."""
        width, p = x.shape[-1], self.p if self.training else 0.0
        weights, biases = self.qkv.weight, self.qkv.bias
        query, key = F.linear(x + positions, weights[: 2 * width], biases[: 2 * width]).chunk(2, -1)
        value = F.linear(x, weights[2 * width :], biases[2 * width :])
        if len(set(lengths)) == 1 and lengths[0] < LONG:
            same = (len(lengths), lengths[0], width)
            query, key, value = (split_heads(rows.view(same), self.heads) for rows in (query, key, value))
            attended = attention(query, key, value, None, p=p, training=self.training)
            return self.out(attended.flatten(0, 1))  # type: ignore[no-any-return]
        return self.out(packed_attention(query, key, value, lengths, heads=self.heads, p=p))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self attention and feed-forward, each added and then normalised."""

    def __init__(
        self, self_attention: SelfAttention, feedforward: FeedForward, residual_sum: ResidualSum
    ) -> None:
        super().__init__()
        width = self_attention.out.out_features
        self.attention = self_attention
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm2 = nn.LayerNorm(width)
        self.residual_sum = residual_sum

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        bias: Tensor,
        *,
        first: int | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """Return (B, n, D), or only its first rows; `groups` of these rows as in `ResidualSum`."""
        kept = x if first is None else x[:, :first]
        attended = self.attention(x, positions, bias, first)
        kept = self.norm1(self.residual_sum(kept, attended, groups))
        changed = self.feedforward(kept)
        return self.norm2(self.residual_sum(kept, changed, groups))  # type: ignore[no-any-return]

    def packed(self, x: Tensor, positions: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Return the same for the rows (N, D) of sequences of these lengths, one after another."""
        packing = Packing(None, lengths)

        def attend(rows: Tensor, kept: Packing) -> Tensor:
            return self.attention.packed(rows, kept.take(positions), kept.lengths)

        def change(rows: Tensor, kept: Packing) -> Tensor:
            return self.feedforward(rows)  # type: ignore[no-any-return]

        x = self.norm1(self.residual_sum.packed(x, attend, packing))
        return self.norm2(self.residual_sum.packed(x, change, packing))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Adds what frames have attended to, and then a feed-forward part; a base of layers of cross attention.

    The second residual adds the sum from before the first norm, as the reference does.
    """

    norm1: nn.LayerNorm
    feedforward: FeedForward
    norm2: nn.LayerNorm
    residual_sum: ResidualSum

    def add(self, x: Tensor, attended: Tensor, packing: Packing | None = None) -> Tensor:
        """Return (B, T, D) of x (B, T, D) and what it attended to, which broadcasts to it.

        Only the frames that a packing of the B * T frames takes pass the feed-forward part.
        """
        x = self.residual_sum(x, attended)
        if packing is None:
            changed = self.residual_sum(x, self._change(x))
        else:
            rows = x.flatten(0, 1)
            rows = self.residual_sum.packed(rows, lambda some, _: self._change(some), packing)
            changed = rows.view(x.shape)
        return self.norm2(changed)  # type: ignore[no-any-return]

    def _change(self, x: Tensor) -> Tensor:
        return self.feedforward(self.norm1(x))  # type: ignore[no-any-return]


def encode(
    layers: nn.ModuleList, tokens: Tokens, *, first: int | None = None, sides: Tensor | None = None
) -> Tensor:
    """Pass tokens of n rows through encoder layers.

    Args:
        layers: Of `EncoderLayer`.
        tokens: Padded rows are seen by no other.
        first: Return only these first rows, for which the last layer may compute less.
        sides: (B, n) the side of each row, 0 or 1; rows see only their own side, and stochastic depth is
            drawn for each.

    Returns:
        (B, n, D), or only its first rows.
    """
    x, positions, mask = tokens.features, tokens.positions, tokens.mask
    if first is None and in_blocks(x):
        packing = Packing.of(mask, sides)
        packed, positions = packing.take(x.flatten(0, 1)), packing.take(positions.flatten(0, 1))
        for layer in layers:
            packed = cast(EncoderLayer, layer).packed(packed, positions, packing.lengths)
        if packing.rows is None:
            return packed.view(x.shape)
        return (
            packed.new_zeros(mask.numel(), packed.shape[1]).index_copy(0, packing.rows, packed).view(x.shape)
        )
    visible = mask[:, None] if sides is None else (sides[:, :, None] == sides[:, None]) & mask[:, None]
    bias = bias_of(visible[:, None], x.dtype)
    for layer in layers[:-1]:
        x = layer(x, positions, bias, groups=sides)
    return layers[-1](x, positions, bias, first=first, groups=sides)  # type: ignore[no-any-return]
