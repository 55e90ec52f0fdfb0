"""Training batches made query by query: the plain twin of `FeatureDataset.training_batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from amrbench.data.feature_dataset import Augment, FeatureDataset, Labeller, usable_windows
from amrbench.types import Batch, Target


def training_batch(
    dataset: FeatureDataset,
    indices: Sequence[int],
    *,
    labels: Labeller,
    augments: Sequence[Augment] = (),
    visit: tuple[int, int] = (0, 0),
) -> tuple[Batch, Target]:
    """Return some queries with their targets; `visit` is (seed, epoch)."""
    audio, drawn = [], []
    for index in indices:
        rng = np.random.default_rng((2, *visit, int(index)))
        rows = dataset.audio[dataset.recordings[index]].numpy()
        cut = bool(dataset.cut[dataset.recordings[index]])
        usable = usable_windows(dataset.queries[index], len(rows) * dataset.hop, cut=cut)
        windows = tuple((float(start), float(end)) for start, end in usable)
        query = replace(dataset.queries[index], windows=windows, duration=dataset.seconds(index))
        for augment in augments:
            rows, query = augment(rows, query, dataset.hop, rng)
        audio.append(torch.from_numpy(np.ascontiguousarray(rows, np.float32)))
        drawn.append(labels(query, len(rows), dataset.hop, rng))
    frames, frames_mask = pad(audio)
    words, words_mask = pad([dataset.text[dataset.sentences[index]] for index in indices])
    recording = torch.tensor([int(dataset.recordings[index]) for index in indices])
    spans, spans_mask = pad([torch.from_numpy(label.spans) for label in drawn])
    target = Target(
        spans=spans,
        spans_mask=spans_mask,
        relevant=pad([torch.from_numpy(label.relevant) for label in drawn])[0],
        positives=torch.stack([torch.from_numpy(label.positives) for label in drawn]),
        negatives=torch.stack([torch.from_numpy(label.negatives) for label in drawn]),
    )
    return Batch(frames, frames_mask, words, words_mask, recording), target


def pad(items: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return items as one tensor, item by item."""
    longest = max(len(item) for item in items)
    rows = items[0].new_empty((len(items), longest, *items[0].shape[1:]))
    mask = torch.zeros(len(items), longest, dtype=torch.bool)
    for index, item in enumerate(items):
        rows[index, : len(item)] = item
        rows[index, len(item) :] = 0
        mask[index, : len(item)] = True
    return rows, mask
