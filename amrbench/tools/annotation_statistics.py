"""`amrbench data statistics`: lengths, widths, numbers and shares in annotations, in one line a split.

Only annotations are read or planned; no audio is read or made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amrbench.data.local_dataset import HasDatasetFolder
from amrbench.errors import DataError
from amrbench.functional.targets import as_windows, clip_windows
from amrbench.notes import note
from amrbench.slots.data import DatasetPart, KnowsQueries
from amrbench.types import Floats, Query

_SHORT, _LONG = 2.0, 30.0
"""Seconds of a window that is short at most, and of one that is long at least."""


@dataclass(frozen=True)
class Summary:
    """A distribution in four numbers: 5th, 50th and 95th percentile, and mean."""

    p5: float
    median: float
    p95: float
    mean: float

    @classmethod
    def of(cls, values: Sequence[float] | Floats) -> Summary:
        """Return the summary of at least one number."""
        p5, median, p95 = (float(value) for value in np.percentile(values, [5, 50, 95]))
        return cls(p5, median, p95, float(np.mean(values)))

    def __str__(self) -> str:
        percentiles = "/".join(f"{value:.3g}" for value in (self.p5, self.median, self.p95))
        return f"{percentiles}, mean {self.mean:.3g}"


@dataclass(frozen=True)
class AnnotationStatistics:
    """What the annotations of one split are like.

    Attributes:
        recordings: Number of recordings with queries.
        queries: Number of queries.
        seconds: Lengths of recordings.
        widths: Widths of windows in seconds.
        windows: Windows a query.
        covered: Percent of its recording that the windows of a query cover.
        gaps: Seconds between windows of a query, where none overlap; None if there are no such windows.
        shares: Percentages by name.
    """

    recordings: int
    queries: int
    seconds: Summary
    widths: Summary
    windows: Summary
    covered: Summary
    gaps: Summary | None
    shares: Mapping[str, float]

    def as_row(self, name: str) -> dict[str, str]:
        """Return a row of a table."""
        return {
            "annotations": name,
            "recordings": f"{self.recordings}",
            "queries": f"{self.queries}",
            "recording, s": str(self.seconds),
            "window, s": str(self.widths),
            "windows a query": str(self.windows),
            "covered, %": str(self.covered),
            "gap, s": str(self.gaps or "-"),
            **{key: f"{value:.1f}" for key, value in self.shares.items()},
        }


def known_queries(part: DatasetPart) -> Iterator[tuple[str, list[Query]]]:
    """Yield each split of a data set and its queries; of a data set in files, the splits that are present.

    Raises:
        DataError: Annotations are missing or wrong, or the queries come with the audio only.
    """
    if isinstance(part, HasDatasetFolder):
        folder = part.dataset_folder
        yield from ((split, folder.queries(split)) for split in folder.annotated_splits)
        return
    dataset = part.build()
    if not isinstance(dataset, KnowsQueries):
        raise DataError(
            f"the data set {part.use!r} knows its queries only when its recordings are made. Write them with "
            "'amrbench data synthesize', and name the annotations.jsonl."
        )
    for split in dataset.splits():
        indices = range(dataset.size(split))
        yield split, [query for index in indices for query in dataset.queries(split, index)]


def annotation_statistics(name: str, queries: Sequence[Query]) -> AnnotationStatistics:
    """Return the statistics of the queries of a split.

    Windows end with their recordings at the latest; queries without a window inside are left out and noted.

    Args:
        name: Of the annotations, for messages.
        queries: At least one of them with a window.

    Raises:
        DataError: No query has a window inside its recording.
    """
    clipped = [clip_windows(as_windows(query.windows), query.duration, tolerance=0.0) for query in queries]
    kept = [(query, windows) for query, windows in zip(queries, clipped, strict=True) if len(windows)]
    if not kept:
        raise DataError(
            f"{name}: no query has a window inside its recording, so there is nothing to count. "
            "Name annotations whose ground truth is public."
        )
    if left_out := len(queries) - len(kept):
        note(
            f"{name}: {left_out} of {len(queries)} queries have no window inside their recording and are not "
            "counted."
        )
    windows = [rows[np.argsort(rows[:, 0])] for _, rows in kept]
    widths = np.concatenate([rows[:, 1] - rows[:, 0] for rows in windows])
    covered = [float(np.diff(_merged(rows)).sum()) for rows in windows]
    durations = np.array([query.duration for query, _ in kept])
    counts = np.array([len(rows) for rows in windows])
    gaps = np.concatenate([_gaps(rows) for rows in windows])
    lengths = {query.vid: query.duration for query, _ in kept}
    return AnnotationStatistics(
        recordings=len(lengths),
        queries=len(kept),
        seconds=Summary.of(list(lengths.values())),
        widths=Summary.of(widths),
        windows=Summary.of(counts),
        covered=Summary.of(100 * np.array(covered) / durations),
        gaps=Summary.of(gaps) if len(gaps) else None,
        shares={
            f"up to {_SHORT:g} s, %": _percent(widths <= _SHORT),
            f"over {_LONG:g} s, %": _percent(widths > _LONG),
            "one window, %": _percent(counts == 1),
            "three or more, %": _percent(counts >= 3),
            "whole seconds, %": _percent(np.concatenate(windows) % 1 == 0),
            "shared, %": 100 * float(np.mean(_shared([query.vid for query, _ in kept], windows))),
        },
    )


def _percent(which: NDArray[np.bool_]) -> float:
    return 100 * float(np.mean(which))


def _shared(vids: Sequence[str], windows: Sequence[Floats]) -> list[float]:
    """Return for each query the share of its time that other queries about its recording have too."""
    together: dict[str, list[int]] = {}
    for index, vid in enumerate(vids):
        together.setdefault(vid, []).append(index)
    shares = [0.0] * len(vids)
    for indices in together.values():
        merged = [_merged(windows[index]) for index in indices]
        bounds = np.concatenate(merged)
        edges = np.unique(bounds)
        first, last = np.searchsorted(edges, bounds).T
        count = len(edges)
        queries = np.cumsum(np.bincount(first, minlength=count) - np.bincount(last, minlength=count))
        seconds = np.append(0.0, np.cumsum(np.diff(edges) * (queries[:-1] > 1)))  # shared up to each edge
        for index, own in zip(indices, merged, strict=True):
            before = seconds[np.searchsorted(edges, own)]
            shares[index] = float(np.diff(before).sum() / np.diff(own).sum())
    return shares


def _gaps(windows: Floats) -> Floats:
    """Return the seconds between windows, sorted by their starts: 0 if they touch, none if they overlap."""
    seconds = windows[1:, 0] - np.maximum.accumulate(windows[:, 1])[:-1]
    return seconds[seconds >= 0]


def _merged(windows: Floats) -> Floats:
    """Return windows, sorted by their starts, with those that overlap or touch as one."""
    ends = np.maximum.accumulate(windows[:, 1])
    first = np.flatnonzero(np.append(True, windows[1:, 0] > ends[:-1]))
    return np.column_stack([windows[first, 0], ends[np.append(first[1:], len(windows)) - 1]])
