"""Small queries and predictions, and metrics of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amrbench.functional.metrics import Metric, evaluate
from amrbench.functional.official_evaluator import THRESHOLDS, Bools
from amrbench.types import Moments, Query

WINDOWS = [(0.0, 10.0)]


def query(qid: str | int, windows: list[tuple[float, float]], **extra: object) -> Query:
    return Query(qid, "left out", "v", 60.0, tuple(windows), extra)


def moments(qid: str | int, windows: list[tuple[float, float]], scores: list[float] | None = None) -> Moments:
    table = np.array(windows, dtype=np.float64).reshape(-1, 2)
    return Moments(qid, "v", table, None if scores is None else np.array(scores, dtype=np.float64))


def hits(
    predictions: Sequence[Moments], truth: Sequence[Query], k: int, iou: float, *, partial: bool = False
) -> Bools:
    """Return (Q,) whether the first k windows of each query reach the IoU."""
    return evaluate(predictions, truth, depth=k, partial=partial).hits(k, iou)


def average_precisions(
    predictions: Sequence[Moments], truth: Sequence[Query], *, partial: bool = False
) -> dict[str, float]:
    """Return mAP and mAP at each of the ten thresholds in percent, by name."""
    evaluation = evaluate(predictions, truth, partial=partial)
    rows = np.arange(len(evaluation.queries))
    metrics = [Metric(0, iou) for iou in (0.0, *THRESHOLDS)]
    return {metric.name: metric.mean(evaluation, rows) for metric in metrics}
