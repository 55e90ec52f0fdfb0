"""Items of different length in one tensor: one after another in memory, padded in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.slots.data import Labels
from amrbench.types import Rows, Target

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Padded:
    """Items of different length, padded to the longest of them."""

    rows: Tensor
    """(B, longest, D), zero where padded."""
    mask: Tensor
    """(B, longest) True for real rows."""


@dataclass(frozen=True, eq=False)
class RaggedTensor:
    """Items of different length, one after another in one tensor."""

    flat: Tensor
    """(n_rows, D)"""
    offsets: Indices
    """(n + 1,) item i has rows offsets[i] to offsets[i + 1]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def item(self, index: int) -> Tensor:
        """Return (length, D), a view."""
        return self.flat[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def length(self, index: int) -> int:
        """Return the number of rows of an item."""
        return int(self.offsets[index + 1] - self.offsets[index])


def ragged_tensor(items: Iterable[Rows], lengths: Sequence[int], width: int) -> RaggedTensor:
    """Copy items (length, D) into one tensor; a generator of items needs memory for one of them at a time."""
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    flat = np.empty((int(offsets[-1]), width), np.float32)
    for index, rows in enumerate(items):
        flat[offsets[index] : offsets[index + 1]] = rows
    return RaggedTensor(torch.from_numpy(flat), offsets)


def concat_ragged(tables: Sequence[RaggedTensor]) -> RaggedTensor:
    """Return the items of several tables one after another."""
    lengths = np.concatenate([np.diff(table.offsets) for table in tables])
    flat = torch.cat([table.flat for table in tables])
    return RaggedTensor(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def pad(items: Sequence[Tensor]) -> Padded:
    """Pad items (length, ...) with zeros to the longest of them."""
    lengths = torch.tensor([len(item) for item in items])
    longest = int(lengths.max())
    rows = items[0].new_empty((len(items), longest, *items[0].shape[1:]))
    # Copies of slices: on the CPU twice as fast as one gather by index. Each byte is written once.
    for index, item in enumerate(items):
        rows[index, : len(item)] = item
        rows[index, len(item) :] = 0
    return Padded(rows, torch.arange(longest) < lengths[:, None])


def collate_targets(labels: Sequence[Labels], frames: int) -> Target:
    """Put the labels of several queries into one target.

    Args:
        labels: One for each query.
        frames: Rows of the padded audio, T.
    """
    spans = pad([torch.from_numpy(np.asarray(label.spans, np.float32)) for label in labels])
    relevant = torch.zeros(len(labels), frames, dtype=torch.bool)
    for index, label in enumerate(labels):
        relevant[index, : len(label.relevant)] = torch.from_numpy(np.asarray(label.relevant, np.bool_))
    return Target(
        spans=spans.rows,
        spans_mask=spans.mask,
        relevant=relevant,
        positives=_stack([label.positives for label in labels]),
        negatives=_stack([label.negatives for label in labels]),
    )


def _stack(rows: Sequence[Indices]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.int64))
