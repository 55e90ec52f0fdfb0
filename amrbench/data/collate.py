"""Items of different length in one tensor, padded, and the targets of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.interfaces import checked_result
from amrbench.slots.data import BatchLabelling, Labels
from amrbench.types import Query, Target

Indices = NDArray[np.int64]
Labeller = Callable[[Query, int, float, np.random.Generator], Labels]
_ALIGNED = 64
"""Bytes; the address of a tensor that torch makes is a multiple of it."""


def pad(items: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Return items (length, ...) as (B, longest, ...), zero where padded, and a mask (B, longest)."""
    lengths, width, kind = [len(item) for item in items], items[0].shape[1:], items[0].dtype
    longest = max(lengths)
    zeros = np.zeros((longest - min(lengths), *width), kind)
    rows = _empty((len(items) * longest, *width), kind)
    # One call for all items and gaps: each byte is written once, and no item costs a call of its own.
    parts = [part for item in items for part in (item, zeros[: longest - len(item)])]
    np.concatenate(parts, out=rows)
    mask = np.arange(longest) < np.array(lengths)[:, None]
    return torch.from_numpy(rows.reshape(len(items), longest, *width)), torch.from_numpy(mask)


def _empty(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that is aligned as tensors are.

    Matrix products may round otherwise where it is not. Numpy asks for large pages, which torch does not:
    large batches take less than half of the time.
    """
    size = math.prod(shape) * kind.itemsize
    memory = np.empty(size + _ALIGNED, np.uint8)
    first = -memory.ctypes.data % _ALIGNED
    return memory[first : first + size].view(kind).reshape(shape)


def make_targets(
    labels: Labeller,
    queries: Sequence[Query],
    frames: Sequence[int],
    hop: float,
    rngs: Sequence[np.random.Generator],
) -> Target:
    """Return the targets of a batch from a built targets part.

    Args:
        labels: The part; its `of_batch` is used if it has one.
        queries: The B queries, each with its windows in this visit.
        frames: Feature rows of each query's recording, at least one.
        hop: Seconds between two rows.
        rngs: The generator of each visit.
    """
    if isinstance(labels, BatchLabelling):
        return checked_result(labels, "of_batch", labels.of_batch(queries, frames, hop, rngs), Target)
    drawn = [labels(*visit) for visit in zip(queries, frames, [hop] * len(queries), rngs, strict=True)]
    for own in drawn:
        checked_result(labels, "__call__", own, object)
    return collate_targets(drawn, max(frames))


def collate_targets(labels: Sequence[Labels], frames: int) -> Target:
    """Put the labels of several queries into one target.

    Args:
        labels: One for each query.
        frames: Rows of the padded audio, T.
    """
    spans, spans_mask = pad([np.asarray(label.spans, np.float32) for label in labels])
    relevant = np.zeros((len(labels), frames), np.bool_)
    for row, label in zip(relevant, labels, strict=True):
        row[: len(label.relevant)] = label.relevant
    return Target(
        spans=spans,
        spans_mask=spans_mask,
        relevant=torch.from_numpy(relevant),
        positives=_stack([label.positives for label in labels]),
        negatives=_stack([label.negatives for label in labels]),
    )


def _stack(rows: Sequence[Indices]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.int64))
