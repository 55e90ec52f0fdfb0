"""From a trained model to the moments of all queries of a feature dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from amrbench.data.feature_dataset import FeatureDataset
from amrbench.data.worker_pool import Progress, Report
from amrbench.functional.metrics import STANDARD, Metric, score
from amrbench.functional.spans import to_windows
from amrbench.slots.readout import Readout
from amrbench.training.criterion import tensors_of
from amrbench.training.reading import Reading, propose, rank
from amrbench.types import Candidates, Moments, Outputs, Proposals, Query, Ranking

Watch = Callable[[Sequence[int], Outputs], None]

BATCH = 32
"""Queries in a batch. Fixed, because other batches change the last bits of the metrics."""

T = TypeVar("T")


def predict(
    model: nn.Module,
    dataset: FeatureDataset,
    reading: Reading,
    *,
    device: torch.device,
    watch: Watch = lambda *_: None,
) -> list[Moments]:
    """Return the moments of every query, in the order of the dataset; see `read`."""
    candidates = read(model, dataset, {"": reading.readout}, device=device, watch=watch)[""]
    return ranked(candidates, dataset.queries, reading.ranking)


def read(
    model: nn.Module,
    dataset: FeatureDataset,
    readouts: Mapping[str, Readout],
    *,
    device: torch.device,
    watch: Watch = lambda *_: None,
) -> dict[str, list[Candidates]]:
    """Return what each read-out makes of a model, for every query in the order of the dataset.

    Args:
        model: A `MomentModel`; it is left in evaluation mode.
        dataset: The queries.
        readouts: By name.
        device: Where the weights of the model are.
        watch: Called for each batch with the indices of its queries and what the model says of them.
    """
    model.eval()
    # Sorted by length, so that little of a batch is padding.
    order = sorted(range(len(dataset)), key=dataset.frames)
    candidates: dict[str, dict[int, Candidates]] = {name: {} for name in readouts}
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            batch = to_device(dataset.batch(indices), device)
            outputs = Outputs(tensors_of(model, model.encode(batch)), batch.audio_mask)  # type: ignore[operator]
            durations = torch.tensor([dataset.seconds(index) for index in indices])
            for name, readout in readouts.items():
                own = candidates_of(propose(readout, outputs), durations)
                candidates[name].update(zip(indices, own, strict=True))
            watch(indices, outputs)
    return {name: [own[index] for index in range(len(dataset))] for name, own in candidates.items()}


def candidates_of(proposals: Proposals, durations: Tensor) -> list[Candidates]:
    """Return the proposals of each query, best first; times and `durations` (B,) in seconds."""
    windows = to_windows(proposals.spans).cpu() * durations[:, None, None]
    table = torch.cat([windows, proposals.scores[..., None].cpu()], dim=-1)
    order = table[..., 2].argsort(dim=1, descending=True, stable=True)
    table = table.take_along_dim(order[..., None], dim=1).float()
    counts = (table[..., 2] != -torch.inf).sum(1).tolist()  # NaN stays, so that it is refused.
    columns = {
        name: column.cpu().take_along_dim(order, dim=1).float().numpy()
        for name, column in proposals.evidence.items()
    }
    return [
        Candidates(rows[:count], {name: column[row, :count] for name, column in columns.items()})
        for row, (rows, count) in enumerate(zip(table.numpy(), counts, strict=True))
    ]


def ranked(
    candidates: Sequence[Candidates], queries: Sequence[Query], ranking: Sequence[Ranking]
) -> list[Moments]:
    """Return the moments of each query after ranking steps."""
    moments = []
    for own, query in zip(candidates, queries, strict=True):
        table = rank(own, query, ranking).moments.astype(np.float64)
        moments.append(Moments(query.qid, query.vid, windows=table[:, :2], scores=table[:, 2]))
    return moments


def reported(report: Report, what: str, dataset: FeatureDataset) -> Watch:
    """Return a function for `watch` that reports how many queries are predicted."""
    done = 0

    def watch(indices: Sequence[int], _: Outputs) -> None:
        nonlocal done
        done += len(indices)
        report(Progress(what, done, len(dataset)))

    return watch


def validate(
    model: nn.Module,
    dataset: FeatureDataset,
    readouts: Mapping[str, Readout],
    *,
    device: torch.device,
    select: Sequence[str],
    watch: Watch = lambda *_: None,
) -> dict[str, dict[str, float]]:
    """Return the standard metrics and those of `select` for each read-out, without ranking steps."""
    metrics = list(dict.fromkeys([*STANDARD, *map(Metric.parse, select)]))
    candidates = read(model, dataset, readouts, device=device, watch=watch)
    return {
        name: dict(score(ranked(own, dataset.queries, ()), dataset.queries, metrics=metrics).metrics)
        for name, own in candidates.items()
    }


def to_device(value: T, device: torch.device) -> T:
    """Return a dataclass of tensors on a device."""
    if device.type == "cpu":
        return value
    moved = {
        field.name: getattr(value, field.name).to(device, non_blocking=True)
        for field in fields(value)  # type: ignore[arg-type]
    }
    return type(value)(**moved)
