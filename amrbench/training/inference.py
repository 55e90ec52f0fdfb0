"""From a trained model to the moments of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amrbench.annotations import Query
from amrbench.data.split import Split
from amrbench.files.predictions import Moments
from amrbench.results.metrics import IOUS, KS, score
from amrbench.spans import to_windows
from amrbench.types import Encoded, Prediction

Rows = NDArray[np.float32]
Ranking = Callable[[Rows, Query], Rows]
Watch = Callable[[Sequence[int], Encoded], None]

AT_ONCE = 32
"""Queries in a batch. Fixed, like their order: other batches would change the last bits of the figures."""

T = TypeVar("T")


def predict(
    model: nn.Module,
    split: Split,
    *,
    device: torch.device,
    ranking: Sequence[Ranking] = (),
    watch: Watch = lambda *_: None,
) -> list[Moments]:
    """Return the moments of every query of a split, in the order of the split.

    Args:
        model: A `MomentModel`; it is left in evaluation mode.
        split: The queries.
        device: Where the weights of the model are.
        ranking: What turns raw moments into the list that is scored, in this order.
        watch: Called for each batch with the places of its queries and what the model made of them.
    """
    model.eval()
    # Neighbours in length share a batch, so that little of it is padding.
    order = sorted(range(len(split)), key=split.frames)
    found: dict[int, Moments] = {}
    with torch.inference_mode():
        for at in range(0, len(order), AT_ONCE):
            places = order[at : at + AT_ONCE]
            encoded: Encoded = model.encode(to_device(split.batch(places), device))  # type: ignore[operator]
            watch(places, encoded)
            rows = moments_of(model.decode(encoded), _durations(split, places))  # type: ignore[operator]
            for place, each in zip(places, rows, strict=True):
                found[place] = _ranked(each, split.queries[place], ranking)
    return [found[place] for place in range(len(split))]


def moments_of(prediction: Prediction, durations: Tensor) -> Rows:
    """Return (B, Q, 3) start and end in seconds and score, best first; `durations` (B,) in seconds."""
    windows = to_windows(prediction.spans).cpu() * durations[:, None, None]
    table = torch.cat([windows, prediction.scores[..., None].cpu()], dim=-1)
    best = table[..., 2].argsort(dim=1, descending=True, stable=True)
    rows: Rows = table.take_along_dim(best[..., None], dim=1).float().numpy()
    return rows


def validate(
    model: nn.Module, split: Split, *, device: torch.device, select: Sequence[str]
) -> dict[str, float]:
    """Return the metrics of raw moments on a split, those of `select` among them."""
    found = predict(model, split, device=device)
    recalls = [name[1:].split("@") for name in select if name.startswith("R")]
    scores = score(
        found,
        split.queries,
        ks=sorted({*KS, *(int(k) for k, _ in recalls)}),
        ious=sorted({*IOUS, *(float(iou) for _, iou in recalls)}),
    )
    return dict(scores.metrics)


def to_device(value: T, device: torch.device) -> T:
    """Return a dataclass of tensors on a device."""
    if device.type == "cpu":
        return value
    moved = {
        field.name: getattr(value, field.name).to(device, non_blocking=True)
        for field in fields(value)  # type: ignore[arg-type]
    }
    return type(value)(**moved)


def _durations(split: Split, places: Sequence[int]) -> Tensor:
    return torch.tensor([split.seconds(place) for place in places])


def _ranked(rows: Rows, query: Query, ranking: Sequence[Ranking]) -> Moments:
    for step in ranking:
        rows = step(rows, query)
    table = rows.astype(np.float64)
    return Moments(query.qid, query.vid, table[:, :2], table[:, 2])
