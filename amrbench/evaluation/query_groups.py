"""Metrics of groups of queries: by window width, number of windows, length of the recording, and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amrbench.functional.aligned_windows import annotated_windows
from amrbench.functional.metrics import Metric, rows_by
from amrbench.types import Floats, Query

MOST_VALUES = 12
"""A key of the annotations with more values names no groups, unless it is asked for."""
_WIDTHS, _COUNTS, _LENGTHS = (2, 5, 10, 30), (1, 2, 3, 5, 10), (60, 120, 180, 240)
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class GroupScores:
    """The metrics of some queries.

    Attributes:
        by: What the queries have in common, e.g. "mean window, s", or a key of the annotations.
        value: The value or range of it, e.g. "2 to 5".
        queries: Their number.
        recordings: Number of their recordings.
        metrics: Percent by name, averaged over the seeds.
    """

    by: str
    value: str
    queries: int
    recordings: int
    metrics: Mapping[str, float]


def group_scores(
    queries: Sequence[Query], values: Floats, metrics: Sequence[Metric], keys: Sequence[str] | None = None
) -> tuple[GroupScores, ...]:
    """Return the metrics of each group.

    Args:
        queries: The Q scored queries.
        values: (Q, M) value of each query for each metric, in percent.
        metrics: The M metrics.
        keys: Keys of the annotations to group by; all with 2 to `MOST_VALUES` values by default.

    Raises:
        DataError: No query has a key that is asked for.
    """
    names = [metric.name for metric in metrics]
    return tuple(
        GroupScores(
            by,
            value,
            len(rows),
            len({queries[row].vid for row in rows.tolist()}),
            dict(zip(names, values[rows].mean(axis=0).tolist(), strict=True)),
        )
        for by, groups in query_groups(queries, keys).items()
        for value, rows in groups.items()
    )


def query_groups(queries: Sequence[Query], keys: Sequence[str] | None = None) -> dict[str, dict[str, Rows]]:
    """Return the indices of the queries by group, for each way of grouping; arguments of `group_scores`.

    A key of the annotations that has the name of another way of grouping, e.g. "windows", is "windows (key)".
    """
    windows = annotated_windows(queries)
    total = np.bincount(windows.query, windows.values[:, 1] - windows.values[:, 0], len(queries))
    length = np.array([query.duration for query in queries])
    groups = {
        "mean window, s": _ranges(total / windows.counts, _WIDTHS, _span),
        "windows": _ranges(windows.counts.astype(np.float64), _COUNTS, _count),
        "recording, s": _ranges(length, _LENGTHS, _span),
    }
    chosen = grouping_keys(queries) if keys is None else keys
    named = {f"{key} (key)" if key in groups else key: _in_order(rows_by(queries, key)) for key in chosen}
    return groups | named


def grouping_keys(queries: Sequence[Query]) -> list[str]:
    """Return the keys of the annotations that have 2 to `MOST_VALUES` values, none of them a list."""
    known = dict.fromkeys(key for query in queries for key in query.extra)
    plain = (str, bool, int, float)
    return [
        key
        for key in known
        if all(isinstance(query.extra.get(key, ""), plain) for query in queries)
        and 1 < len({query.extra.get(key) for query in queries}) <= MOST_VALUES
    ]


def _ranges(values: Floats, edges: Sequence[int], label: Callable[[int, int | None], str]) -> dict[str, Rows]:
    """Return the indices of the values up to the first edge, up to the next, ..., and over the last one."""
    # To microseconds: 2.3 - 0.3 and 8.3 - 6.3 are 2 seconds but for the last bits.
    owner = np.searchsorted(np.array(edges, dtype=np.float64), values.round(6), side="left")
    bounds = zip((0, *edges), (*edges, None), strict=True)
    groups = {label(low, high): np.flatnonzero(owner == index) for index, (low, high) in enumerate(bounds)}
    return {name: rows for name, rows in groups.items() if len(rows)}


def _span(low: int, high: int | None) -> str:
    if high is None:
        return f"over {low}"
    return f"{low} to {high}" if low else f"up to {high}"


def _count(low: int, high: int | None) -> str:
    if high is None:
        return f"over {low}"
    return str(high) if high == low + 1 else f"{low + 1} to {high}"


def _in_order(groups: Mapping[str, Rows]) -> dict[str, Rows]:
    return dict(sorted(groups.items()))
