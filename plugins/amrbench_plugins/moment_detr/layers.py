"""Layers shared by the parts: dropout, attention, feed-forward, projections, initialisation.

Random masks, the choice of an attention kernel and the PReLU's backward pass are each in one place, so
that a faster way for one device changes one function.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

START_SLOPE = 0.25
LEVELS = 1 << 16


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Return x with a random share of its numbers zeroed and the rest scaled up; x itself if inactive.

    On CPUs the share is rounded to a multiple of 2^-16 below 1: the library draws one number for each mask
    bit there, this draws one for four of them.
    """
    if not training or p == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    return cast("Tensor", _CpuDropout.apply(x, min(round(p * LEVELS), LEVELS - 1)))  # type: ignore[no-untyped-call]


class _CpuDropout(torch.autograd.Function):
    """Dropout whose mask is read off 16 bits of a random number for each element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        drawn = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        levels = drawn.view(torch.int16)[: x.numel()].view(x.shape)
        kept = levels >= dropped - LEVELS // 2
        ctx.scale = LEVELS / (LEVELS - dropped)
        ctx.save_for_backward(kept)
        return kept.to(x.dtype).mul_(ctx.scale).mul_(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (kept,) = ctx.saved_tensors
        return kept.to(gradients[0].dtype).mul_(ctx.scale).mul_(gradients[0]), None


def residual(x: Tensor, branch: Tensor, p: float, *, training: bool, groups: Tensor | None = None) -> Tensor:
    """Return x + branch, with the whole branch dropped for a random share of the samples.

    Stochastic depth for each sample: a kept branch is scaled by 1 / (1 - p).

    Args:
        x: (B, n, D).
        branch: (B, n, D) or broadcasting to it.
        p: Probability of dropping.
        training: Whether anything is dropped at all.
        groups: (B, n) group of each row, counted from 0 to 1; each group of a sample is drawn for itself.
    """
    if not training or p == 0:
        return x + branch
    count = 1 if groups is None else 2
    scale = x.new_empty(x.shape[0], count).bernoulli_(1 - p).mul_(1 / (1 - p))
    scale = scale if groups is None else scale.gather(1, groups)
    return torch.addcmul(x, branch, scale[..., None])


class _ParametricRelu(torch.autograd.Function):
    """ReLU with one learned slope below zero; the library's backward pass is slow on CPUs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: Tensor) -> Tensor:
        return F.prelu(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradients[0], x, 0)
        below = gradients[0] - above
        return torch.addcmul(above, below, slope), (below * x).sum().reshape(slope.shape)


class PReLU(nn.Module):
    """x where positive, else x times one learned slope."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((1,), START_SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return _ParametricRelu.apply(x, self.slope)  # type: ignore[no-any-return, no-untyped-call]


class BlockLinear(nn.Linear):
    """Several linear maps of the same input in one product; each block is initialised for itself."""

    def __init__(self, width: int, out: int, blocks: int) -> None:
        super().__init__(width, blocks * out)
        self.blocks = blocks


def xavier(module: nn.Module) -> None:
    """Draw every weight of more than one axis anew, Xavier-uniform; block by block where there are blocks."""
    for part in module.modules():
        blocks = part.blocks if isinstance(part, BlockLinear) else 1
        for parameter in part.parameters(recurse=False):
            if parameter.dim() > 1:
                for block in parameter.detach().chunk(blocks):
                    nn.init.xavier_uniform_(block)


def leave(module: nn.Module) -> None:
    """Leave the weights as the layers drew them."""


class Perceptron(nn.Module):
    """Linear maps with an activation between each two."""

    def __init__(self, widths: tuple[int, ...], activation: Callable[[], nn.Module]) -> None:
        """Widths go from the input to the output."""
        super().__init__()
        pairs = list(pairwise(widths))
        self.linears = nn.ModuleList(nn.Linear(one, other) for one, other in pairs)
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
        return self.down(dropout(self.activation(self.up(x)), self.p, self.training))  # type: ignore[no-any-return]


def heads_fault(heads: int, width: int) -> str:
    """Return why so many attention heads do not fit a width; empty if they do."""
    if width % heads == 0:
        return ""
    return f"attention_heads is {heads}, which does not divide width {width}; give a divisor of the width."


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what to add to attention logits so that only visible pairs count.

    Every query must see at least one key.

    Args:
        visible: Bool of any shape, True where a query sees a key.
        dtype: Of the logits.
    """
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return bias.masked_fill_(~visible, torch.finfo(dtype).min)


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
    if dropping and not query.is_cuda:
        # On CPUs the library would draw the mask its own slow way.
        weights = attention_weights(query, key, bias)
        return merge_heads(dropout(weights, p, True) @ value)
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

    def forward(self, x: Tensor, positions: Tensor, bias: Tensor | None, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows."""
        placed, width = x + positions, x.shape[-1]
        if first is None:
            weights, biases = (
                torch.split(each, [2 * width, width]) for each in (self.qkv.weight, self.qkv.bias)
            )
            query, key = F.linear(placed, weights[0], biases[0]).chunk(2, -1)
        else:
            weights, biases = (torch.split(each, width) for each in (self.qkv.weight, self.qkv.bias))
            query = F.linear(placed[:, :first], weights[0], biases[0])
            key = F.linear(placed, weights[1], biases[1])
            bias = bias if bias is None or bias.shape[2] == 1 else bias[:, :, :first]
        value = F.linear(x, weights[-1], biases[-1])
        query, key, value = (split_heads(part, self.heads) for part in (query, key, value))
        return self.out(attention(query, key, value, bias, p=self.p, training=self.training))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self attention and feed-forward, each added and then normalised."""

    def __init__(self, attention_: SelfAttention, feedforward: FeedForward, p: float) -> None:
        """`p` is the probability of dropping a whole branch for a sample."""
        super().__init__()
        width = attention_.out.out_features
        self.attention = attention_
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm2 = nn.LayerNorm(width)
        self.p = p

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        bias: Tensor | None,
        *,
        first: int | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """Return (B, n, D), or only its first rows; `groups` (B, n) as in `residual`."""
        kept = x if first is None else x[:, :first]
        groups = groups if groups is None or first is None else groups[:, :first]
        attended = self.attention(x, positions, bias, first)
        kept = self.norm1(residual(kept, attended, self.p, training=self.training, groups=groups))
        changed = self.feedforward(kept)
        return self.norm2(residual(kept, changed, self.p, training=self.training, groups=groups))  # type: ignore[no-any-return]
