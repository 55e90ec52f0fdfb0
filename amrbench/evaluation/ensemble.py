"""Several lists of moments for the same queries as one: an ensemble of predictions. No torch.

Moments of all lists are taken best first. Each joins the group whose moment it overlaps most, if the IoU
reaches a threshold, or begins a group. Two ways to say what a group is:

leader   the bounds of its best moment; the score is the mean over all lists of the best that each has in it,
         zero where it has none. So what several models agree on comes first, no bounds are blurred, and one
         list alone keeps its order.
mean     the mean of the bounds, weighted by the scores, and the mean or largest score: weighted boxes fusion
         in one dimension (R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion", Image and Vision
         Computing 107, 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import RunError, did_you_mean, some
from amrbench.evaluation.systems import prediction_files
from amrbench.files.atomic import refuse_replacing
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.types import Moments

Table = NDArray[np.float64]
"""(n, 3) start and end in seconds, and score."""
BOUNDS = ("leader", "mean")
POINTS = ("agreement", "mean", "max")


@dataclass(frozen=True)
class EnsembleOptions:
    """How lists are fused.

    Attributes:
        iou: From here on two moments can be the same.
        bounds: One of `BOUNDS`: those of the best moment, or the mean.
        points: One of `POINTS`: the mean over all lists of the best score that each has in a group, the mean
            over the group, or the largest.
        weights: Of each list; 1 by default.
        top: Moments to keep for each query.
    """

    iou: float = 0.5
    bounds: str = "leader"
    points: str = "agreement"
    weights: tuple[float, ...] | None = None
    top: int = 10

    def __post_init__(self) -> None:
        """Raise RunError for unknown words."""
        for name, value, known in (("bounds", self.bounds, BOUNDS), ("points", self.points, POINTS)):
            if value not in known:
                raise RunError(
                    f"--{name} {value!r} is not known.{did_you_mean(value, known)} Use {', '.join(known)}."
                )


@dataclass
class Group:
    """Moments that count as one.

    Attributes:
        bounds: (2,) what others are compared with.
        members: (start, end, score) of each, best first.
        lists: Which list each is from.
    """

    bounds: Table
    members: list[Table] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)

    def add(self, moment: Table, place: int, bounds: str) -> None:
        """Take a moment of a list in."""
        self.members.append(moment)
        self.lists.append(place)
        if bounds == "mean":
            table = np.stack(self.members)
            # Where all scores are zero, all count the same.
            weights = table[:, 2] if table[:, 2].any() else np.ones(len(table))
            self.bounds = np.average(table[:, :2], axis=0, weights=weights)

    def score(self, points: str, weights: Sequence[float]) -> float:
        """Return its score; those of its members have been multiplied by the weights of their lists."""
        scores = [float(each[2]) for each in self.members]
        if points == "max":
            return max(scores) / max(weights)
        if points == "mean":
            return sum(scores) / len(scores) * len(weights) / sum(weights)
        # Members are best first, so of each list the first one counts.
        best = dict(reversed(list(zip(self.lists, scores, strict=True))))
        return sum(best.values()) / sum(weights)


def fuse(tables: Sequence[Table], how: EnsembleOptions = EnsembleOptions()) -> Table:
    """Return (n, 3) start, end and score of the best groups, best first.

    Args:
        tables: (n, 3) of each list, in any order; scores of zero or more.
        how: What counts as one, and what becomes of it.
    """
    shares = how.weights or (1.0,) * len(tables)
    places = np.repeat(np.arange(len(tables)), [len(each) for each in tables])
    pool = np.concatenate(tables)
    pool = np.column_stack([pool[:, :2], pool[:, 2] * np.array(shares)[places]])
    groups: list[Group] = []
    for at in np.lexsort((pool[:, 1], pool[:, 0], -pool[:, 2])):
        group = _group_of(pool[at], groups, how.iou)
        if group is None:
            group = Group(pool[at, :2])
            groups.append(group)
        group.add(pool[at], int(places[at]), how.bounds)
    rows = [(*each.bounds.tolist(), each.score(how.points, shares)) for each in groups]
    rows.sort(key=lambda row: -row[2])
    return np.array(rows[: how.top], dtype=np.float64).reshape(-1, 3)


def overlaps(moments: Table, moment: Table) -> Table:
    """Return (n,) the IoU of each moment (n, 2 or more) with another (2 or more,)."""
    met = np.minimum(moments[:, 1], moment[1]) - np.maximum(moments[:, 0], moment[0])
    both = np.maximum(met, 0)
    union = moments[:, 1] - moments[:, 0] + moment[1] - moment[0] - both
    shares: Table = both / np.maximum(union, 1e-9)
    return shares


def fuse_files(
    sources: Sequence[Path], output: Path, how: EnsembleOptions = EnsembleOptions()
) -> tuple[int, int]:
    """Write the fusion of prediction files.

    Args:
        sources: Runs, which stand for the predictions of their seeds; prediction files; folders of them.
        output: The prediction file to write.
        how: What counts as one, and what becomes of it.

    Returns:
        How many files were fused, and for how many queries.

    Raises:
        RunError: Files do not answer the same queries, weights do not fit, or scores are missing or negative.
        DataError: A file is wrong or missing, or the output is one of them or cannot be written.
    """
    files = [file for source in sources for file in prediction_files(source)]
    refuse_replacing(output, files)
    weights = how.weights
    if weights and (len(weights) != len(files) or not _weigh(weights)):
        raise RunError(
            f"the weights {', '.join(f'{each:g}' for each in weights)} do not fit {len(files)} prediction "
            f"files: {', '.join(map(str, files))}. Give a number above zero for each, or none."
        )
    answers = [{str(each.qid): each for each in read_predictions(file)} for file in files]
    for file, each in zip(files, answers, strict=True):
        _refuse_misfits(files[0], answers[0], file, each)
    found = []
    for qid, first in answers[0].items():
        table = fuse([_table(each[qid]) for each in answers], how)
        found.append(Moments(first.qid, first.vid, table[:, :2], table[:, 2]))
    write_predictions(output, found)
    return len(files), len(found)


def _weigh(weights: Sequence[float]) -> bool:
    return all(each > 0 for each in weights) and math.isfinite(sum(weights))


def _group_of(moment: Table, groups: Sequence[Group], iou: float) -> Group | None:
    if not groups:
        return None
    shared = overlaps(np.stack([group.bounds for group in groups]), moment)
    best = int(shared.argmax())
    return groups[best] if shared[best] >= iou else None


def _table(moments: Moments) -> Table:
    scores = np.zeros(0) if moments.scores is None else moments.scores
    return np.column_stack([moments.windows, scores])


def _refuse_misfits(first: Path, known: dict[str, Moments], file: Path, answers: dict[str, Moments]) -> None:
    apart = sorted(known.keys() ^ answers.keys()) or sorted(
        qid for qid in known if known[qid].vid != answers[qid].vid
    )
    if apart:
        raise RunError(
            f"{first} and {file} do not answer the same queries about the same recordings: {some(apart)}. "
            "Fuse predictions for the same annotations."
        )
    for qid, each in answers.items():
        if len(each.windows) and each.scores is None:
            raise RunError(f"{file}: query {qid!r} has windows without scores, which fusion weighs them by.")
        if each.scores is not None and (each.scores < 0).any():
            raise RunError(
                f"{file}: query {qid!r} has the score {each.scores.min():g}. EnsembleOptions needs scores of zero or "
                "more, such as probabilities."
            )
