"""Self attention of long sequences on CPUs, a block of logits at a time.

Logits, weights and masks are never in memory as a whole: a block of them stays in the cache, and the backward
pass computes it again, as FlashAttention does on GPUs (Dao et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from amrbench_plugins.moment_detr.masks import Masks

BLOCK = 768 * 1024
"""Logits in a block; the backward pass holds two blocks of this size."""


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], *, heads: int, p: float
) -> Tensor:
    """Return scaled dot-product attention within each sequence, with dropout on the weights.

    Without dropout, torch has a kernel that is faster than the matrix products here.

    Args:
        query: (N, D) the rows of all sequences, one after another.
        key: (N, D).
        value: (N, D).
        lengths: Rows of each sequence; their sum is N.
        heads: Number of heads, a divisor of D.
        p: Probability of dropping a weight.

    Returns:
        (N, D).
    """
    if p == 0:
        sizes = list(lengths)
        sequences = zip(*(torch.split(rows, sizes) for rows in (query, key, value)), strict=True)
        return torch.cat([*(_attention(q, k, v, heads) for q, k, v in sequences), value[:0]])
    out = _BlockedAttention.apply(lengths, heads, p, query, key, value)  # type: ignore[no-untyped-call]
    return cast("Tensor", out)


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the (n, D) of a sequence without dropout."""
    query, key, value = (_by_head(rows, heads)[None] for rows in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value)[0].transpose(0, 1).flatten(1)


@dataclass(frozen=True)
class _Block:
    """Some queries of some heads, with all keys of their sequence."""

    heads: slice
    queries: slice
    keys: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """Heads, queries and keys."""
        heads, queries, keys = (part.stop - part.start for part in (self.heads, self.queries, self.keys))
        return heads, queries, keys


def _blocks(lengths: Sequence[int], heads: int) -> Iterator[_Block]:
    start = 0
    for length in lengths:
        rows = min(length, max(1, BLOCK // length))
        together = max(1, BLOCK // (rows * length))
        for head in range(0, heads, together):
            for row in range(start, start + length, rows):
                yield _Block(
                    slice(head, min(head + together, heads)),
                    slice(row, min(row + rows, start + length)),
                    slice(start, start + length),
                )
        start += length


class _Buffer:
    """Memory that blocks use in turn."""

    def __init__(self, like: Tensor, lengths: Sequence[int]) -> None:
        self.numbers = like.new_empty(max((BLOCK, *lengths)))

    def of(self, block: _Block) -> Tensor:
        """Return room for the logits of a block."""
        heads, queries, keys = block.shape
        return self.numbers[: heads * queries * keys].view(heads, queries, keys)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """Return (H, N, E) of (N, H * E)."""
    return rows.view(rows.shape[0], heads, rows.shape[1] // heads).transpose(0, 1)


class _BlockedAttention(torch.autograd.Function):
    """Keeps its inputs, its output, the bits of the masks, and the logarithms of the denominators."""

    @staticmethod
    def forward(ctx: Any, lengths: Sequence[int], heads: int, p: float, *inputs: Tensor) -> Tensor:
        query, key, value = inputs
        masks, drawn = Masks(p), []
        scaled = query * (query.shape[1] // heads) ** -0.5
        queries, keys, values = (_by_head(rows, heads) for rows in (scaled, key, value))
        out, denominators = torch.empty_like(scaled), query.new_empty(heads, len(query), 1)
        logs, outs, buffer = torch.empty_like(denominators), _by_head(out, heads), _Buffer(query, lengths)
        for block in _blocks(lengths, heads):
            some, seen = (block.heads, block.queries), (block.heads, block.keys)
            weights = torch.bmm(queries[some], keys[seen].mT, out=buffer.of(block))
            torch.amax(weights, -1, keepdim=True, out=logs[some])
            torch.sum(weights.sub_(logs[some]).exp_(), -1, keepdim=True, out=denominators[some])
            drawn.append(masks.draw(block.shape))
            drawn[-1].apply(weights, weights)
            torch.bmm(weights, values[seen], out=outs[some])
        outs.mul_(masks.scale / denominators)
        logs += denominators.log_()
        ctx.save_for_backward(query, key, value, out, logs)
        ctx.lengths, ctx.heads, ctx.masks, ctx.scale = lengths, heads, drawn, masks.scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        *rows, logs = ctx.saved_tensors
        given = gradients[0] * ctx.scale
        query, keys, values, outs, givens = (_by_head(x, ctx.heads) for x in (*rows, given))
        scale = query.shape[-1] ** -0.5
        # A column more in queries and keys subtracts the logarithms from the logits.
        queries = torch.cat([query * scale, -logs], -1)
        keys = F.pad(keys, (0, 1), value=1.0)
        means = (givens * outs).sum(-1, keepdim=True) / ctx.scale
        of_inputs = given.new_empty(3, *given.shape)
        of_queries, of_keys, of_values = (_by_head(x, ctx.heads) for x in of_inputs)
        buffers = [_Buffer(given, ctx.lengths) for _ in range(2)]
        for block, mask in zip(_blocks(ctx.lengths, ctx.heads), ctx.masks, strict=True):
            some, seen = (block.heads, block.queries), (block.heads, block.keys)
            weights, change = (buffer.of(block) for buffer in buffers)
            torch.bmm(queries[some], keys[seen].mT, out=weights).exp_()
            torch.bmm(givens[some], values[seen].mT, out=change)
            mask.apply(change, change)
            change.sub_(means[some]).mul_(weights)
            mask.apply(weights, weights)
            before = 0 if block.queries.start == block.keys.start else 1
            of_values[seen].baddbmm_(weights.mT, givens[some], beta=before)
            torch.bmm(change, keys[seen][..., :-1], out=of_queries[some])
            of_keys[seen].baddbmm_(change.mT, queries[some][..., :-1], beta=before)
        of_queries *= scale
        return None, None, None, *of_inputs
