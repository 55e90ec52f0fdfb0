"""Fuse the predictions of several models for the same queries: an ensemble. No torch.

The moments of all lists are taken best first. Each joins the group that it overlaps most if their IoU reaches
a threshold; otherwise it begins a group. A group becomes one moment:

leader   It has the bounds of the best moment. With the score `agreement`, the mean over all lists of the best
         score that each has in the group (zero if none), moments that several models agree on come first. A
         single list keeps its order.
mean     It has the mean of the bounds, weighted by the scores. With the mean or largest score this is
         weighted boxes fusion in one dimension (R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion",
         Image and Vision Computing 107, 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import RunError, did_you_mean
from amrbench.evaluation.score_files import note_other_sentences
from amrbench.evaluation.systems import (
    Compared,
    is_run,
    prediction_files,
    refuse_other_queries,
    run_folder,
)
from amrbench.files.atomic import refuse_replacing
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.functional.windows import iou
from amrbench.notes import note
from amrbench.types import Moments

Table = NDArray[np.float64]
"""(n, 3) start and end in seconds, and score."""
BOUNDS = ("leader", "mean")
POINTS = ("agreement", "mean", "max")
ANOTHER_SCALE = 10
"""How many times the largest score of a list may exceed that of another before a note says so."""


@dataclass(frozen=True)
class EnsembleOptions:
    """How lists are fused.

    Attributes:
        iou: Least IoU of two moments in one group.
        bounds: One of `BOUNDS`: those of the best moment, or the mean.
        points: One of `POINTS`, the score of a group: the mean over all lists of the best score that each has
            in it, the mean over its moments, or the largest.
        weights: Weight of each list; 1 by default.
        top: Number of moments to keep for each query.
    """

    iou: float = 0.5
    bounds: str = "leader"
    points: str = "agreement"
    weights: tuple[float, ...] | None = None
    top: int = 10

    def __post_init__(self) -> None:
        """Raise RunError for unknown names."""
        for name, value, known in (("bounds", self.bounds, BOUNDS), ("points", self.points, POINTS)):
            if value not in known:
                raise RunError(
                    f"--{name} {value!r} is not known.{did_you_mean(value, known)} Use {', '.join(known)}."
                )


@dataclass
class Group:
    """Moments that become one.

    Attributes:
        bounds: (2,) start and end, which further moments are compared with.
        moments: (start, end, weighted score) of each moment, best first.
        lists: Index of the list of each moment.
    """

    bounds: Table
    moments: list[Table] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)

    def add(self, moment: Table, list_index: int, bounds: str) -> None:
        """Add a moment of a list."""
        self.moments.append(moment)
        self.lists.append(list_index)
        if bounds == "mean":
            table = np.stack(self.moments)
            weights = table[:, 2] if table[:, 2].any() else np.ones(len(table))  # all scores may be zero
            self.bounds = np.average(table[:, :2], axis=0, weights=weights)

    def score(self, points: str, weights: Sequence[float]) -> float:
        """Return the score of the group; the weights of the lists are divided out."""
        scores = [float(moment[2]) for moment in self.moments]
        if points == "max":
            return max(scores) / max(weights)
        if points == "mean":
            return sum(scores) / len(scores) * len(weights) / sum(weights)
        # Reversed, so that the first and best score of a list overwrites the others.
        best = dict(reversed(list(zip(self.lists, scores, strict=True))))
        return sum(best.values()) / sum(weights)


def fuse(tables: Sequence[Table], how: EnsembleOptions = EnsembleOptions()) -> Table:
    """Return (n, 3) start, end and score of the best groups, best first.

    Args:
        tables: (n, 3) start, end and score of each list, in any order; no score is negative.
        how: How groups are formed and scored.
    """
    weights = how.weights or (1.0,) * len(tables)
    lists = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    pool = np.concatenate(tables)
    pool = np.column_stack([pool[:, :2], pool[:, 2] * np.array(weights)[lists]])
    groups: list[Group] = []
    for index in np.lexsort((pool[:, 1], pool[:, 0], -pool[:, 2])):  # by score, start and end
        bounds = np.array([group.bounds for group in groups]).reshape(-1, 2)
        overlap = iou(bounds, pool[index : index + 1])[:, 0]
        if groups and overlap.max() >= how.iou:
            group = groups[overlap.argmax()]
        else:
            group = Group(pool[index, :2])
            groups.append(group)
        group.add(pool[index], int(lists[index]), how.bounds)
    rows = [(*group.bounds.tolist(), group.score(how.points, weights)) for group in groups]
    rows.sort(key=lambda row: -row[2])
    return np.array(rows[: how.top], dtype=np.float64).reshape(-1, 3)


def fuse_files(
    sources: Sequence[Path], output: Path, how: EnsembleOptions = EnsembleOptions()
) -> tuple[int, int]:
    """Write the fused predictions of several files.

    Args:
        sources: Runs (the predictions of their seeds), prediction files, or folders of prediction files.
        output: The prediction file to write.
        how: How groups are formed and scored.

    Returns:
        Number of fused files, and number of queries.

    Raises:
        RunError: Files do not answer the same queries, one is there twice, weights do not fit, or scores are
            missing or negative.
        DataError: A file is wrong or missing, or the output is one of them, a file of a run, or cannot be
            written.
    """
    refuse_missing_parent(output)
    files = [file for source in sources for file in prediction_files(source)]
    _refuse_twice(files)
    # All files of a run belong together, also those that are not read here, such as its annotations.
    runs = [run_folder(source) for source in sources if is_run(source)]
    refuse_replacing(output, chain(files, *(run.rglob("*") for run in runs)))
    weights = how.weights or (1.0,) * len(files)
    positive = all(weight > 0 for weight in weights) and math.isfinite(sum(weights))
    if len(weights) != len(files) or not positive:
        raise RunError(
            f"the weights {', '.join(f'{weight:g}' for weight in weights)} do not fit {len(files)} "
            f"prediction files: {', '.join(map(str, files))}. Give a number above zero for each, or none."
        )
    predictions = [{str(moments.qid): moments for moments in read_predictions(file)} for file in files]
    vids = [{qid: Compared(moments.vid) for qid, moments in by_qid.items()} for by_qid in predictions]
    for file, by_qid in zip(files, vids, strict=True):
        refuse_other_queries(files[0], vids[0], file, by_qid)
    fused = []
    for qid, first in predictions[0].items():
        tables = [_table(file, by_qid[qid]) for file, by_qid in zip(files, predictions, strict=True)]
        table = fuse(tables, how)
        sentence = next((by_qid[qid].query for by_qid in predictions if by_qid[qid].query), "")
        fused.append(Moments(first.qid, first.vid, table[:, :2], table[:, 2], sentence))
    _note_other_sentences(files, [by_qid.values() for by_qid in predictions])
    _note_scales(files, [by_qid.values() for by_qid in predictions], how.weights)
    write_predictions(output, fused)
    return len(files), len(fused)


def _refuse_twice(files: Sequence[Path]) -> None:
    """Raise RunError if two paths lead to one file."""
    first: dict[Path, Path] = {}
    for file in files:
        if (path := file.resolve()) in first:
            other = "" if first[path] == file else f", first as {first[path]}"
            raise RunError(
                f"{file}: is among the files twice{other}, so its moments would count twice. Name each file "
                "once; --weight gives one more weight."
            )
        first[path] = file


def _note_other_sentences(files: Sequence[Path], lists: Sequence[Iterable[Moments]]) -> None:
    """Issue a note for each file with other sentences than the first file that repeats any."""
    repeating = [
        (file, list(moments))
        for file, moments in zip(files, lists, strict=True)
        if any(own.query for own in moments)
    ]
    for file, moments in repeating[1:]:
        first, others = repeating[0]
        note_other_sentences(file, moments, others, where=str(first), used="fused")


def _note_scales(
    files: Sequence[Path], lists: Sequence[Iterable[Moments]], weights: Sequence[float] | None
) -> None:
    """Issue a note if the scores of the lists are, by the largest of each, on different scales."""
    largest = []
    for index, (file, moments) in enumerate(zip(files, lists, strict=True)):
        scores = [own.scores.max() for own in moments if own.scores is not None and len(own.scores)]
        if scores:
            largest.append((float(max(scores)) * (weights[index] if weights else 1), file))
    (low, lowest), (high, highest) = min(largest, default=(1, None)), max(largest, default=(1, None))
    if low < high and (high >= ANOTHER_SCALE * low or (not weights and low <= 1 < high)):
        weighted = ", with their weights" if weights else ""
        note(
            f"{highest}: has scores up to {high:g}, and {lowest} up to {low:g}{weighted}; so the first "
            "counts far more. Bring scores to one scale, or weigh the files with --weight."
        )


def _table(file: Path, moments: Moments) -> Table:
    """Return the moments of a query as (n, 3); RunError if scores are missing or negative."""
    query = f"{file}: query {str(moments.qid)!r}"
    scores = np.zeros(0) if moments.scores is None else moments.scores
    if len(scores) < len(moments.windows):
        raise RunError(f"{query} has windows without scores, which fusion needs.")
    if scores.min(initial=0.0) < 0:
        raise RunError(
            f"{query} has the score {scores.min():g}. Fusion needs scores of zero or more, such as "
            "probabilities."
        )
    return np.column_stack([moments.windows, scores])
