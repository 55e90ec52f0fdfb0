"""A semi-Markov conditional random field over frames: log partition function and marginals of segments.

A segmentation divides the frames of a recording into background frames and foreground segments; segments may
touch. It has the weight exp(score), where

    score = sum of background over background frames
          + sum over segments [i, j] of start_i + inside_i + ... + inside_j + end_j.

Semi-Markov fields are from Sarawagi and Cohen, NIPS 2004. Here the score of a segment is a sum over its
frames, so the field is a chain with two states between frames: outside of all segments (0) and within one
(1). All results are exact. They take O(T) operations, in O(log T) steps: frames are 2 x 2 matrices of log
weights, and products of neighbours are associative.

Potentials are (B, T, 4), in the order background, start, inside, end. A mask (B, T) is True for real frames,
which come first; padded frames are identity matrices, and their potentials may be anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

FORBIDDEN = -1e30
"""Log weight of what cannot be. It is finite, since the difference of two infinities has no gradient."""


def relative(potentials: Tensor) -> Tensor:
    """Return potentials of the same distribution whose background is 0.

    Sums over long recordings stay small, and so their rounding.
    """
    background, start, inside, end = potentials.unbind(-1)
    return torch.stack([torch.zeros_like(background), start, inside - background, end], -1)


def log_partition(potentials: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the sum of the weights of all segmentations, (B,)."""
    return _product(_transitions(_without_padding(potentials, mask), mask))[:, 0, 0]


def log_marginals(potentials: Tensor, mask: Tensor) -> Tensor:
    """Return the log probability that frames i to j, both included, are a segment, (B, T, T).

    It is -inf where j is before i, or one of them is padding.
    """
    potentials = relative(_without_padding(potentials, mask))
    matrices = _transitions(potentials, mask)
    before, after = _prefixes(matrices)[..., 0, 0], _suffixes(matrices)[..., 0, 0]
    nothing = torch.zeros_like(before[:, :1])
    _, start, inside, end = potentials.unbind(-1)
    sums = inside.cumsum(1)
    left = torch.cat([nothing, before[:, :-1]], 1) + start - (sums - inside)
    right = sums + end + torch.cat([after[:, 1:], nothing], 1) - before[:, -1:]
    left, right = (side.masked_fill(~mask, -torch.inf) for side in (left, right))
    backwards = torch.ones_like(mask[0]).expand(mask.shape[1], -1).tril(-1)
    # Rounding alone makes a probability larger than 1.
    return (left[:, :, None] + right[:, None]).clamp(max=0).masked_fill(backwards, -torch.inf)


def _without_padding(potentials: Tensor, mask: Tensor) -> Tensor:
    return potentials.masked_fill(~mask[..., None], 0)


def _transitions(potentials: Tensor, mask: Tensor) -> Tensor:
    """Return the log weights of each frame, (B, T, 2, 2): rows are the state before it, columns after it."""
    background, start, inside, end = potentials.unbind(-1)
    alone = torch.logaddexp(background, start + inside + end)
    weights = torch.stack([alone, start + inside, inside + end, inside], -1).view(*alone.shape, 2, 2)
    identity = torch.full_like(weights[:1, :1], FORBIDDEN)
    identity.diagonal(dim1=-2, dim2=-1).zero_()
    return torch.where(mask[..., None, None], weights, identity)


def _multiply(one: Tensor, other: Tensor) -> Tensor:
    """Return the product of matrices (..., 2, 2), all of log weights."""
    return torch.logaddexp(
        one[..., :, :1] + other[..., :1, :],
        one[..., :, 1:] + other[..., 1:, :],
    )


def _product(matrices: Tensor) -> Tensor:
    """Return the product (B, 2, 2) of T matrices (B, T, 2, 2)."""
    while (count := matrices.shape[1]) > 1:
        pairs = _multiply(matrices[:, : count - 1 : 2], matrices[:, 1::2])
        matrices = torch.cat([pairs, matrices[:, count - count % 2 :]], 1)
    return matrices[:, 0]


def _prefixes(matrices: Tensor) -> Tensor:
    """Return the products of the first 1, 2, ..., T matrices, (B, T, 2, 2).

    The products of pairs give every second one; one more multiplication gives the others (Blelloch 1990).
    """
    count = matrices.shape[1]
    if count == 1:
        return matrices
    even, odd = matrices[:, ::2], matrices[:, 1::2]
    ends = _prefixes(_multiply(even[:, : odd.shape[1]], odd))
    between = _multiply(ends[:, : even.shape[1] - 1], even[:, 1:])
    starts = torch.cat([even[:, :1], between], 1)
    both = torch.stack([starts[:, : ends.shape[1]], ends], 2).flatten(1, 2)
    return torch.cat([both, starts[:, ends.shape[1] :]], 1)


def _suffixes(matrices: Tensor) -> Tensor:
    """Return the products of the last T, T - 1, ..., 1 matrices, (B, T, 2, 2)."""
    return _prefixes(matrices.flip(1).mT).mT.flip(1)
