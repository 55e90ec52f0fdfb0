"""From a trained model to the moments of all queries of a feature dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from amrbench.data.feature_dataset import FeatureDataset
from amrbench.data.worker_pool import Progress, Report
from amrbench.functional.metrics import STANDARD, Metric, score
from amrbench.functional.spans import to_windows
from amrbench.interfaces import ResultError, brief, checked_result
from amrbench.types import Encoded, Moments, Prediction, Ranking, Rows

Watch = Callable[[Sequence[int], Encoded], None]

BATCH = 32
"""Queries in a batch. Fixed, because other batches change the last bits of the metrics."""

T = TypeVar("T")


def predict(
    model: nn.Module,
    dataset: FeatureDataset,
    *,
    device: torch.device,
    ranking: Sequence[Ranking] = (),
    watch: Watch = lambda *_: None,
) -> list[Moments]:
    """Return the moments of every query, in the order of the dataset.

    Args:
        model: A `MomentModel`; it is left in evaluation mode.
        dataset: The queries.
        device: Where the weights of the model are.
        ranking: Steps from raw moments to the list that is scored, in this order.
        watch: Called for each batch with the indices of its queries and the encoded batch.
    """
    model.eval()
    # Sorted by length, so that little of a batch is padding.
    order = sorted(range(len(dataset)), key=dataset.frames)
    moments: dict[int, Moments] = {}
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            encoded: Encoded = model.encode(to_device(dataset.batch(indices), device))  # type: ignore[operator]
            watch(indices, encoded)
            durations = torch.tensor([dataset.seconds(index) for index in indices])
            rows = moments_of(model.decode(encoded), durations)  # type: ignore[operator]
            for index, table in zip(indices, rows, strict=True):
                query = dataset.queries[index]
                for step in ranking:
                    table = checked_result(step, "__call__", step(table, query), np.ndarray)
                    if table.ndim != 2 or table.shape[1] != 3:
                        raise ResultError(f"it returns {brief(table)}, not (Q, 3).", step, "__call__")
                table = table.astype(np.float64)
                moments[index] = Moments(query.qid, query.vid, windows=table[:, :2], scores=table[:, 2])
    return [moments[index] for index in range(len(dataset))]


def moments_of(prediction: Prediction, durations: Tensor) -> Rows:
    """Return (B, Q, 3) start, end and score, best first; times and `durations` (B,) in seconds."""
    windows = to_windows(prediction.spans).cpu() * durations[:, None, None]
    table = torch.cat([windows, prediction.scores[..., None].cpu()], dim=-1)
    order = table[..., 2].argsort(dim=1, descending=True, stable=True)
    rows: Rows = table.take_along_dim(order[..., None], dim=1).float().numpy()
    return rows


def reported(report: Report, what: str, dataset: FeatureDataset) -> Watch:
    """Return a function for `watch` that reports how many queries are predicted."""
    done = 0

    def watch(indices: Sequence[int], _: Encoded) -> None:
        nonlocal done
        done += len(indices)
        report(Progress(what, done, len(dataset)))

    return watch


def validate(
    model: nn.Module,
    dataset: FeatureDataset,
    *,
    device: torch.device,
    select: Sequence[str],
    watch: Watch = lambda *_: None,
) -> dict[str, float]:
    """Return the standard metrics and those of `select`, of moments without ranking steps."""
    metrics = dict.fromkeys([*STANDARD, *map(Metric.parse, select)])
    moments = predict(model, dataset, device=device, watch=watch)
    return dict(score(moments, dataset.queries, metrics=list(metrics)).metrics)


def to_device(value: T, device: torch.device) -> T:
    """Return a dataclass of tensors on a device."""
    if device.type == "cpu":
        return value
    moved = {
        field.name: getattr(value, field.name).to(device, non_blocking=True)
        for field in fields(value)  # type: ignore[arg-type]
    }
    return type(value)(**moved)
