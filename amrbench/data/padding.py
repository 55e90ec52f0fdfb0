"""Items of different length in one tensor: end to end in memory, padded in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.slots import Labels
from amrbench.types import Target

Rows = NDArray[np.float32]
Indices = NDArray[np.int64]

NORM_FLOOR = 1e-5


@dataclass(frozen=True)
class Padded:
    """Items of different length in one tensor."""

    rows: Tensor
    """(B, longest, D), zero where padded."""
    mask: Tensor
    """(B, longest) True for real rows."""


@dataclass(frozen=True, eq=False)
class Ragged:
    """Items of rows, one after another in one tensor."""

    flat: Tensor
    """(n_rows, D)"""
    offsets: Indices
    """(n + 1,) item i has rows offsets[i] to offsets[i + 1]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def item(self, place: int) -> Tensor:
        """Return (length, D), a view."""
        return self.flat[int(self.offsets[place]) : int(self.offsets[place + 1])]

    def length(self, place: int) -> int:
        """Return the number of rows of an item."""
        return int(self.offsets[place + 1] - self.offsets[place])


def ragged(items: Iterable[Rows], lengths: Sequence[int], width: int) -> Ragged:
    """Copy items (length, D) into one tensor; one of them is in memory at a time beside it."""
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    flat = np.empty((int(offsets[-1]), width), np.float32)
    for place, rows in enumerate(items):
        flat[offsets[place] : offsets[place + 1]] = rows
    return Ragged(torch.from_numpy(flat), offsets)


def joined(tables: Sequence[Ragged]) -> Ragged:
    """Put the items of several tables one after another."""
    lengths = np.concatenate([np.diff(table.offsets) for table in tables])
    flat = torch.cat([table.flat for table in tables])
    return Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def normalised(rows: Rows) -> Rows:
    """Divide each row by its Euclidean norm + 1e-5, as the reference does; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / (lengths + np.float32(NORM_FLOOR)), np.float32)


def padded(items: Sequence[Tensor]) -> Padded:
    """Pad items (length, ...) with zeros to the longest of them."""
    lengths = torch.tensor([len(item) for item in items])
    longest = int(lengths.max())
    rows = items[0].new_empty((len(items), longest, *items[0].shape[1:]))
    # Copies of slices: on the CPU twice as fast as one gather by index. Each byte is written once.
    for place, item in enumerate(items):
        rows[place, : len(item)] = item
        rows[place, len(item) :] = 0
    return Padded(rows, torch.arange(longest) < lengths[:, None])


def target_of(labels: Sequence[Labels], frames: int) -> Target:
    """Put the labels of several queries together.

    Args:
        labels: One for each query.
        frames: Rows of the padded audio, T.
    """
    spans = padded([torch.from_numpy(np.asarray(each.spans, np.float32)) for each in labels])
    relevant = torch.zeros(len(labels), frames, dtype=torch.bool)
    for place, each in enumerate(labels):
        relevant[place, : len(each.relevant)] = torch.from_numpy(np.asarray(each.relevant, np.bool_))
    return Target(
        spans=spans.rows,
        spans_mask=spans.mask,
        relevant=relevant,
        positives=_stacked([each.positives for each in labels]),
        negatives=_stacked([each.negatives for each in labels]),
    )


def _stacked(rows: Sequence[Indices]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.int64))
