"""Official metrics of predicted moments: recall at k and mean average precision."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import AmrbenchError, DataError, did_you_mean, some
from amrbench.functional.official_evaluator import (
    LISTED,
    THRESHOLDS,
    Bools,
    PerQuery,
    RaggedArray,
    evaluate_arrays,
)
from amrbench.types import Floats, Moments, Query

LONGEST = 1500.0
"""Seconds; the official evaluator ignores longer annotated windows."""
_RECALL = re.compile(r"R([1-9]\d{0,3})@(0?\.\d+|1|1\.0)")
_PRECISION = re.compile(r"mAP(?:@(0?\.\d+))?")
_NONE = "(none)"

_Item = TypeVar("_Item", Query, Moments)


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
        if recall := _RECALL.fullmatch(name):
            metric = cls(int(recall[1]), float(recall[2]))
        elif precision := _PRECISION.fullmatch(name):
            metric = cls(0, float(precision[1] or 0))
        else:
            raise _unknown(name)
        if (metric.k and not metric.iou) or (not metric.k and metric.iou not in (0.0, *THRESHOLDS)):
            raise _unknown(name)
        return metric

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
        precision = evaluation.average_precisions()
        column = precision[:, THRESHOLDS.index(self.iou)] if self.iou else precision.mean(axis=1)
        return np.asarray(100.0 * column)

    def mean(self, evaluation: Evaluation, rows: NDArray[np.int64]) -> float:
        """Return the mean over some queries in percent, rounded as in the official evaluator.

        Args:
            evaluation: Of Q queries.
            rows: Indices of the queries.
        """
        if self.k:
            return 100 * float(evaluation.hits(self.k, self.iou)[rows].mean())
        means = evaluation.average_precisions()[rows].mean(axis=0)
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
        figures: Overlaps and average precisions of each query.
        depth: The largest k of recall.
        missing: Ids left out because they have no prediction.
        extra: Predicted ids left out because they have no annotation.
        unanswerable: Ids left out because they have no window of usable length.
    """

    queries: tuple[Query, ...]
    figures: PerQuery
    depth: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    unanswerable: tuple[str, ...]

    def hits(self, k: int, iou: float) -> Bools:
        """Return (Q,), True if one of the first k windows reaches the IoU with an annotated window."""
        if k > self.depth:
            raise ValueError(f"evaluated for k up to {self.depth}, asked for {k}")
        return self.figures.overlap[:, min(k, self.figures.overlap.shape[1]) - 1] >= iou

    def average_precisions(self) -> Floats:
        """Return (Q, 10) average precision at IoU 0.5, 0.55, ..., 0.95, from 0 to 1."""
        return self.figures.precision


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
        DataError: Ids are missing, extra or repeated, a window is reversed or not finite, or nothing is left.
    """
    evaluation = evaluate(predictions, truth, depth=_depth(metrics), partial=partial)
    scores = _scores(evaluation, metrics, np.arange(len(evaluation.queries)))
    left_out = (len(evaluation.missing), len(evaluation.extra), len(evaluation.unanswerable))
    return Scores(scores.queries, scores.metrics, *left_out)


def score_by(
    predictions: Iterable[Moments],
    truth: Iterable[Query],
    key: str,
    *,
    metrics: Sequence[Metric] = STANDARD,
    partial: bool = False,
) -> dict[str, Scores]:
    """Score each group of queries with the same value of an additional key of the annotations.

    Groups are named by the value, or by its JSON if it is not text. Queries without the key form the group
    `(none)`.

    Raises:
        DataError: As in `score`; or no query has the key.
    """
    evaluation = evaluate(predictions, truth, depth=_depth(metrics), partial=partial)
    groups: dict[str, list[int]] = {}
    for index, query in enumerate(evaluation.queries):
        groups.setdefault(_label(query, key), []).append(index)
    if list(groups) == [_NONE]:
        known = sorted({name for query in evaluation.queries for name in query.extra})
        have = f"they have {some(known)}" if known else "they have no additional keys"
        raise DataError(f"no query has the key {key!r}; {have}.{did_you_mean(key, known)}")
    return {label: _scores(evaluation, metrics, np.array(rows)) for label, rows in groups.items()}


def evaluate(
    predictions: Iterable[Moments], truth: Iterable[Query], *, depth: int = LISTED, partial: bool = False
) -> Evaluation:
    """Evaluate each query, without averaging.

    Args:
        predictions: One entry for each query, in any order.
        truth: The annotated queries.
        depth: The largest k of recall that is needed.
        partial: Evaluate the common queries if the ids of both sides differ, instead of raising.

    Raises:
        DataError: As in `score`.
    """
    annotated, predicted = _by_id(truth, "annotations"), _by_id(predictions, "predictions")
    missing = tuple(qid for qid in annotated if qid not in predicted)
    extra = tuple(qid for qid in predicted if qid not in annotated)
    if not partial:
        _refuse_differences(missing, extra, len(annotated))
    common = [qid for qid in annotated if qid in predicted]
    windows = _annotated([annotated[qid] for qid in common])
    kept = np.flatnonzero(windows.counts).tolist()
    if not kept:
        raise DataError(_nothing_left(len(common)))
    queries = tuple(annotated[common[index]] for index in kept)
    listed = _listed([predicted[common[index]] for index in kept])
    truth_arrays = RaggedArray.of(windows.values, windows.counts[kept])
    return Evaluation(
        queries=queries,
        figures=evaluate_arrays(listed, truth_arrays, depth=depth),
        depth=depth,
        missing=missing,
        extra=extra,
        unanswerable=tuple(common[index] for index in np.flatnonzero(windows.counts == 0).tolist()),
    )


def _unknown(name: str) -> AmrbenchError:
    known = [metric.name for metric in (*STANDARD, *(Metric(0, iou) for iou in THRESHOLDS))]
    return AmrbenchError(
        f"there is no metric {name!r}.{did_you_mean(name, known)} Use R<k>@<IoU> such as R1@0.7, mAP, or "
        "mAP@<IoU> with 0.5, 0.55, ..., 0.95."
    )


def _depth(metrics: Iterable[Metric]) -> int:
    return max([1, *(metric.k for metric in metrics)])


def _scores(evaluation: Evaluation, metrics: Sequence[Metric], rows: NDArray[np.int64]) -> Scores:
    return Scores(len(rows), {metric.name: metric.mean(evaluation, rows) for metric in metrics})


def _label(query: Query, key: str) -> str:
    if key not in query.extra:
        return _NONE
    value = query.extra[key]
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _by_id(items: Iterable[_Item], side: str) -> dict[str, _Item]:
    entries = list(items)
    by_id = {str(item.qid): item for item in entries}
    if len(by_id) < len(entries):
        repeated = [qid for qid, count in Counter(str(item.qid) for item in entries).items() if count > 1]
        raise DataError(f"the {side} hold more than one entry for {some(repeated)}; keep one each.")
    return by_id


def _refuse_differences(missing: Sequence[str], extra: Sequence[str], annotated: int) -> None:
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {annotated} queries have no prediction: {some(missing)}")
    if extra:
        faults.append(f"{len(extra)} predictions belong to no annotated query: {some(extra)}")
    if faults:
        raise DataError(
            "; ".join(faults) + ". Give one line for each query, or score the common ones (--partial)."
        )


def _nothing_left(common: int) -> str:
    if not common:
        return "predictions and annotations have no query in common. Check that they belong together."
    return f"none of the {common} queries has a window longer than 0 s and at most {LONGEST:g} s to score by."


def _annotated(queries: Sequence[Query]) -> RaggedArray:
    """Return the annotated windows of usable length; some queries may have none."""
    counts = np.fromiter((len(query.windows) for query in queries), np.int64, len(queries))
    flat = chain.from_iterable(chain.from_iterable(query.windows for query in queries))
    windows = RaggedArray.of(np.fromiter(flat, np.float64).reshape(-1, 2), counts)
    _refuse_bad(windows, [query.qid for query in queries], "annotated")
    length = windows.values[:, 1] - windows.values[:, 0]
    return windows.keep((length > 0) & (length <= LONGEST))


def _listed(predictions: Sequence[Moments]) -> RaggedArray:
    """Return start, end and score of all predicted windows; the order replaces missing scores."""
    counts = np.fromiter((len(moments.windows) for moments in predictions), np.int64, len(predictions))
    windows = np.concatenate([moments.windows for moments in predictions], dtype=np.float64)
    scores = np.concatenate([_scores_or_order(moments) for moments in predictions], dtype=np.float64)
    listed = RaggedArray.of(np.column_stack([windows, scores]), counts)
    _refuse_bad(listed, [moments.qid for moments in predictions], "predicted")
    return listed


def _scores_or_order(moments: Moments) -> Floats:
    return -np.arange(len(moments.windows), dtype=np.float64) if moments.scores is None else moments.scores


def _refuse_bad(windows: RaggedArray, qids: Sequence[str | int], side: str) -> None:
    not_finite = ~np.isfinite(windows.values).all(axis=1)
    backward = windows.values[:, 1] < windows.values[:, 0]
    for wrong, fault in ((not_finite, "are not finite"), (backward, "end before they start")):
        if wrong.any():
            names = some(dict.fromkeys(qids[query] for query in windows.query[wrong].tolist()))
            raise DataError(f"{side} windows of {names} {fault}; correct them.")
