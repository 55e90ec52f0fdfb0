"""Items of different length in one tensor, padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.slots.data import Labels
from amrbench.types import Target

Indices = NDArray[np.int64]


def pad(items: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return items (length, ...) as (B, longest, ...), zero where padded, and a mask (B, longest)."""
    lengths = torch.tensor([len(item) for item in items])
    longest = int(lengths.max())
    rows = items[0].new_empty((len(items), longest, *items[0].shape[1:]))
    # Copies of slices: on the CPU twice as fast as one gather by index. Each byte is written once.
    for index, item in enumerate(items):
        rows[index, : len(item)] = item
        rows[index, len(item) :] = 0
    return rows, torch.arange(longest) < lengths[:, None]


def collate_targets(labels: Sequence[Labels], frames: int) -> Target:
    """Put the labels of several queries into one target.

    Args:
        labels: One for each query.
        frames: Rows of the padded audio, T.
    """
    spans, spans_mask = pad([torch.from_numpy(np.asarray(label.spans, np.float32)) for label in labels])
    relevant = torch.zeros(len(labels), frames, dtype=torch.bool)
    for index, label in enumerate(labels):
        relevant[index, : len(label.relevant)] = torch.from_numpy(np.asarray(label.relevant, np.bool_))
    return Target(
        spans=spans,
        spans_mask=spans_mask,
        relevant=relevant,
        positives=_stack([label.positives for label in labels]),
        negatives=_stack([label.negatives for label in labels]),
    )


def _stack(rows: Sequence[Indices]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.int64))
