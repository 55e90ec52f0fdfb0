"""Official metrics of predicted moments: recall at k and mean average precision."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import AmrbenchError, DataError, did_you_mean, some
from amrbench.functional.aligned_windows import AlignedWindows, align, annotated_windows, scored_rows
from amrbench.functional.official_evaluator import LISTED, THRESHOLDS, Bools, RaggedArray, evaluate_arrays
from amrbench.types import Floats, Moments, Query

_RECALL = re.compile(r"R([1-9]\d{0,3})@(0?\.\d+|1|1\.0)")
_PRECISION = re.compile(r"mAP@(0?\.\d+)")
_NONE = "(none)"


@dataclass(frozen=True)
class Metric:
    """A mean over queries: recall at k, or mean average precision.

    Attributes:
        k: Number of predicted windows that recall considers; 0 for mean average precision.
        iou: Threshold of the overlap; 0 for the mean of average precision over all `THRESHOLDS`.
    """

    k: int
    iou: float

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the metric of a name such as R1@0.7, R5@0.5, mAP or mAP@0.75.

        Raises:
            AmrbenchError: There is no such metric.

        >>> Metric.parse("R5@0.70").name
        'R5@0.7'
        """
        if name == "mAP":
            return cls(0, 0.0)
        if (recall := _RECALL.fullmatch(name)) and float(recall[2]):
            return cls(int(recall[1]), float(recall[2]))
        if (precision := _PRECISION.fullmatch(name)) and float(precision[1]) in THRESHOLDS:
            return cls(0, float(precision[1]))
        known = [metric.name for metric in (*STANDARD, *(Metric(0, iou) for iou in THRESHOLDS))]
        raise AmrbenchError(
            f"there is no metric {name!r}.{did_you_mean(name, known)} Use R<k>@<IoU> such as R1@0.7, mAP, or "
            "mAP@<IoU> with 0.5, 0.55, ..., 0.95."
        )

    @property
    def name(self) -> str:
        """Return e.g. "R1@0.7", "mAP" or "mAP@0.75"."""
        if self.k:
            return f"R{self.k}@{self.iou:.12g}"
        return f"mAP@{self.iou:g}" if self.iou else "mAP"

    def values(self, evaluation: Evaluation) -> Floats:
        """Return (Q,) the value of each query in percent."""
        if self.k:
            return 100 * evaluation.hits(self.k, self.iou).astype(np.float64)
        precision = evaluation.average_precision
        column = precision[:, THRESHOLDS.index(self.iou)] if self.iou else precision.mean(axis=1)
        return np.asarray(100.0 * column)

    def mean(self, evaluation: Evaluation, rows: NDArray[np.int64]) -> float:
        """Return the mean over the queries at `rows` in percent.

        It is averaged in the order of the official evaluator: over queries, then over thresholds.
        """
        if self.k:
            return 100 * float(evaluation.hits(self.k, self.iou)[rows].mean())
        means = evaluation.average_precision[rows].mean(axis=0)
        return 100 * float(means[THRESHOLDS.index(self.iou)] if self.iou else means.mean())


def metrics_at(ks: Iterable[int] = (1, 5), ious: Iterable[float] = (0.5, 0.7)) -> tuple[Metric, ...]:
    """Return recall at each k and threshold, and then mAP, mAP@0.5 and mAP@0.75.

    Raises:
        AmrbenchError: A k or a threshold makes no sense.
    """
    thresholds = list(ious)
    recalls = [Metric(k, iou) for k in ks for iou in thresholds]
    for metric in recalls:
        if metric.k < 1:
            raise AmrbenchError(f"recall at k = {metric.k} makes no sense; give a whole number from 1 on.")
        if not 0 < metric.iou <= 1:
            raise AmrbenchError(
                f"IoU threshold {metric.iou} makes no sense; give a number above 0 and up to 1."
            )
    return (*recalls, Metric(0, 0.0), Metric(0, 0.5), Metric(0, 0.75))


STANDARD = metrics_at()
"""The metrics of every table: the official ones and R5."""


@dataclass(frozen=True)
class Scores:
    """Metrics of some queries.

    Attributes:
        queries: Number of queries in the mean.
        metrics: Values in percent by name: `R1@0.5`, ..., `mAP`, `mAP@0.5`, `mAP@0.75`.
        missing: Annotated queries left out because they have no prediction (only with `partial`).
        extra: Predictions left out because they have no annotated query (only with `partial`).
        unanswerable: Queries left out because none of their windows is longer than 0 s and at most 1500 s.
    """

    queries: int
    metrics: Mapping[str, float]
    missing: int = 0
    extra: int = 0
    unanswerable: int = 0


@dataclass(frozen=True)
class Evaluation:
    """The result of each query, before averaging.

    Attributes:
        queries: The Q scored queries, in the order of the annotations.
        overlap: (Q, K) largest overlap of the first 1, 2, ..., K windows with an annotated window.
        average_precision: (Q, 10) average precision at IoU 0.5, 0.55, ..., 0.95, from 0 to 1.
        depth: The largest k of recall; K is smaller if every list is shorter.
        missing: Ids left out because they have no prediction.
        extra: Predicted ids left out because they have no annotation.
        unanswerable: Ids left out because they have no window of usable length.
    """

    queries: tuple[Query, ...]
    overlap: Floats
    average_precision: Floats
    depth: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    unanswerable: tuple[str, ...]

    def hits(self, k: int, iou: float) -> Bools:
        """Return (Q,), True if one of the first k windows reaches the IoU with an annotated window."""
        if k > self.depth:
            raise ValueError(f"evaluated for k up to {self.depth}, asked for {k}")
        return self.overlap[:, min(k, self.overlap.shape[1]) - 1] >= iou


def score(
    predictions: Iterable[Moments],
    truth: Iterable[Query],
    *,
    metrics: Sequence[Metric] = STANDARD,
    partial: bool = False,
) -> Scores:
    """Score predictions as the official evaluator does.

    Args:
        predictions: One entry for each query, in any order.
        truth: The annotated queries.
        metrics: The metrics to compute; see `metrics_at`.
        partial: Score the common queries if the ids of both sides differ, instead of raising.

    Raises:
        DataError: Ids are missing, extra or repeated, a prediction is about another recording than its query,
            a window is reversed or not finite, or nothing is left.
    """
    evaluation = evaluate(predictions, truth, depth=_depth(metrics), partial=partial)
    return _all_scores(evaluation, metrics)


def score_windows(
    windows: Mapping[str, Floats], truth: Sequence[Query], *, metrics: Sequence[Metric] = STANDARD
) -> dict[str, Scores]:
    """Score one predicted window for each query, for several predictors of the same queries.

    Args:
        windows: (Q, 2) start and end in seconds, finite, in the order of `truth`; by name.
        truth: The annotated queries; their ids differ.
        metrics: The metrics to compute.

    Raises:
        DataError: No query has a window to score by.
    """
    annotated = annotated_windows(truth)
    kept = scored_rows(annotated)
    queries = tuple(truth[row] for row in kept.tolist())
    target = RaggedArray.of(annotated.values, annotated.counts[kept])
    unanswerable = tuple(str(truth[row].qid) for row in np.flatnonzero(annotated.counts == 0).tolist())
    scores = {}
    for name, table in windows.items():
        listed = RaggedArray.of(np.insert(table[kept], 2, 0.0, axis=1), np.ones(len(kept), np.int64))
        overlap, precision = evaluate_arrays(listed, target, depth=_depth(metrics))
        evaluation = Evaluation(queries, overlap, precision, _depth(metrics), (), (), unanswerable)
        scores[name] = _all_scores(evaluation, metrics)
    return scores


def score_by(
    predictions: Iterable[Moments],
    truth: Iterable[Query],
    key: str,
    *,
    metrics: Sequence[Metric] = STANDARD,
    partial: bool = False,
) -> dict[str, Scores]:
    """Score each group of queries with the same value of an additional key of the annotations.

    Groups are named by the value, or by its JSON if it is not text, or is text with the name of another
    group: `1` and `"1"` are apart. Queries without the key form the group `(none)`.

    Raises:
        DataError: As in `score`; or no query has the key.
    """
    evaluation = evaluate(predictions, truth, depth=_depth(metrics), partial=partial)
    groups = rows_by(evaluation.queries, key)
    return {label: _scores(evaluation, metrics, rows) for label, rows in groups.items()}


def rows_by(queries: Sequence[Query], key: str) -> dict[str, NDArray[np.int64]]:
    """Return the indices of the queries with each value of an additional key, named as in `score_by`.

    Raises:
        DataError: No query has the key.
    """
    groups: dict[tuple[str, bool], list[int]] = {}
    for index, query in enumerate(queries):
        groups.setdefault(_named(query, key), []).append(index)
    if list(groups) == [(_NONE, False)]:
        known = sorted({name for query in queries for name in query.extra})
        have = f"they have {some(known)}" if known else "they have no additional keys"
        raise DataError(f"no query has the key {key!r}; {have}.{did_you_mean(key, known)}")
    names = {name for name, _ in groups}
    return {
        _quoted(name, names) if is_text and (name, False) in groups else name: np.array(rows)
        for (name, is_text), rows in groups.items()
    }


def _named(query: Query, key: str) -> tuple[str, bool]:
    """Return the name of a query's value of an additional key, and whether the value is text."""
    if key not in query.extra:
        return _NONE, False
    value = query.extra[key]
    return (value, True) if isinstance(value, str) else (json.dumps(value, sort_keys=True), False)


def _quoted(text: str, names: Collection[str]) -> str:
    """Return a text as JSON, until it is none of some names."""
    while text in names:
        text = json.dumps(text)
    return text


def evaluate(
    predictions: Iterable[Moments], truth: Iterable[Query], *, depth: int = LISTED, partial: bool = False
) -> Evaluation:
    """Evaluate each query, for recall up to k = `depth`; other arguments and errors are those of `score`."""
    return evaluate_aligned(align(predictions, truth, partial=partial), depth=depth)


def evaluate_aligned(windows: AlignedWindows, *, depth: int = LISTED) -> Evaluation:
    """Evaluate each query whose windows were aligned, for recall up to k = `depth`."""
    overlap, precision = evaluate_arrays(windows.listed, windows.truth, depth=depth)
    return Evaluation(
        windows.queries,
        overlap,
        precision,
        depth,
        windows.missing,
        windows.extra,
        windows.unanswerable,
    )


def _depth(metrics: Iterable[Metric]) -> int:
    return max([1, *(metric.k for metric in metrics)])


def _all_scores(evaluation: Evaluation, metrics: Sequence[Metric]) -> Scores:
    return replace(
        _scores(evaluation, metrics, np.arange(len(evaluation.queries))),
        missing=len(evaluation.missing),
        extra=len(evaluation.extra),
        unanswerable=len(evaluation.unanswerable),
    )


def _scores(evaluation: Evaluation, metrics: Sequence[Metric], rows: NDArray[np.int64]) -> Scores:
    return Scores(len(rows), {metric.name: metric.mean(evaluation, rows) for metric in metrics})
