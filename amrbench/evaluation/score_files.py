"""Score a prediction file against an annotation file: `amrbench score`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amrbench.errors import DataError
from amrbench.evaluation.baselines import baseline_windows
from amrbench.files.annotations import read_annotations
from amrbench.files.checksums import refuse_changed
from amrbench.files.jsonl import collector_paused
from amrbench.files.predictions import read_predictions
from amrbench.functional.aligned_windows import sentence_key, unanswerable_note
from amrbench.functional.metrics import STANDARD, Metric, Scores, score, score_by, score_windows
from amrbench.notes import note
from amrbench.types import Moments, Query

FRAME, ROUNDING = 1.0, 1e-3
"""Seconds by which a moment may leave its recording without a note: of models and of writers."""


@dataclass(frozen=True)
class ScoreReport:
    """The scores of one prediction file.

    Attributes:
        name: Name of the prediction file.
        scores: Metrics over all scored queries.
        partial: Whether the ids of the two files were allowed to differ.
        by: The key whose values name the slices; empty without slices.
        slices: Metrics of each slice.
        baselines: Metrics of each baseline on the same queries.
    """

    name: str
    scores: Scores
    partial: bool
    by: str = ""
    slices: Mapping[str, Scores] = field(default_factory=dict)
    baselines: Mapping[str, Scores] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the scores and slices as plain values; metrics in percent, not rounded."""
        report = _as_json(self.scores)
        if self.partial:
            report["partial"] = {"missing": self.scores.missing, "extra": self.scores.extra}
        if self.by:
            report["slices"] = {label: _as_json(scores) for label, scores in self.slices.items()}
        return report

    def headers(self) -> list[str]:
        """Return the names of the columns of `rows`."""
        return ["predictions", "queries", *self.scores.metrics]

    def rows(self) -> list[list[str]]:
        """Return the rows of a table, percent with two decimals: the file, its slices, the baselines."""
        slices = {f"{self.by}={label}": scores for label, scores in self.slices.items()}
        return [
            [name, str(scores.queries), *(f"{value:.2f}" for value in scores.metrics.values())]
            for name, scores in [(self.name, self.scores), *slices.items(), *self.baselines.items()]
        ]

    def notes(self) -> list[str]:
        """Return sentences about queries that are not scored."""
        left_out = (
            (self.scores.missing, "annotated queries without a prediction"),
            (self.scores.extra, "predictions without an annotated query"),
        )
        texts = [f"{count} {what} were left out." for count, what in left_out if count]
        return [*texts, *([unanswerable_note(count)] if (count := self.scores.unanswerable) else [])]


def score_files(
    predictions: Path,
    truth: Path,
    *,
    partial: bool = False,
    metrics: Sequence[Metric] = STANDARD,
    by: str | None = None,
) -> ScoreReport:
    """Score a prediction file as the official evaluator does, with R@k for any k.

    Args:
        predictions: Prediction file, with or without scores.
        truth: Annotation file.
        partial: Score the queries that both files have; otherwise a difference is an error.
        metrics: The metrics to compute; see `metrics_at`.
        by: A further key of the annotations; each of its values is scored separately too.

    Raises:
        DataError: A file is wrong or a folder, or the two do not belong together.
    """
    with collector_paused():
        return _report(predictions, truth, partial, metrics, by)


def _report(
    predictions: Path, truth: Path, partial: bool, metrics: Sequence[Metric], by: str | None
) -> ScoreReport:
    _refuse_folder(predictions)
    refuse_changed(predictions)
    refuse_changed(truth)
    predicted, queries = read_predictions(predictions), read_annotations(truth)
    qids = {str(moments.qid) for moments in predicted}
    common = [query for query in queries if str(query.qid) in qids]
    note_other_sentences(predictions, predicted, queries)
    note_outside(predictions, predicted, queries)
    try:
        return ScoreReport(
            name=Path(predictions).name,
            scores=score(predicted, queries, metrics=metrics, partial=partial),
            partial=partial,
            by=by or "",
            slices=score_by(predicted, queries, by, metrics=metrics, partial=partial) if by else {},
            baselines=score_windows(baseline_windows(common), common, metrics=metrics),
        )
    except DataError as error:
        raise DataError(f"{predictions} against {truth}: {error}") from error


def note_other_sentences(
    file: Path,
    predictions: Iterable[Moments],
    others: Iterable[Query] | Iterable[Moments],
    *,
    where: str = "the annotations",
    used: str = "scored",
) -> None:
    """Issue a note if a prediction file repeats other sentences than the annotations or another file.

    Case, spaces and a full stop at the end make no difference.

    Args:
        file: The prediction file.
        predictions: Its content.
        others: What has the right sentences.
        where: Their file, or what it is.
        used: What is done with the predictions all the same.
    """
    predicted = {str(moments.qid): moments.query for moments in predictions if moments.query}
    other = [
        (qid, predicted[qid], query.query)
        for query in others
        if query.query
        and (qid := str(query.qid)) in predicted
        and sentence_key(predicted[qid]) != sentence_key(query.query)
    ]
    if other:
        qid, asked, right = other[0]
        note(
            f"{file}: {len(other):,} predictions are for other sentences than those of {where}: {qid!r} "
            f"is {asked!r} there and {right!r} in {where}. They are {used} all the same."
        )


def note_outside(file: Path, predictions: Iterable[Moments], queries: Iterable[Query]) -> None:
    """Issue a note if moments are outside of their recording, as in another unit or from another start.

    Args:
        file: The prediction file.
        predictions: Its content.
        queries: The annotations; predictions for other queries do not count.
    """
    durations = {str(query.qid): query.duration for query in queries}
    known = [moments for moments in predictions if str(moments.qid) in durations]
    counts = [len(moments.windows) for moments in known]
    if not sum(counts):
        return
    rows = np.repeat(np.arange(len(known)), counts)
    lengths = np.array([durations[str(moments.qid)] for moments in known])[rows]
    starts, ends = np.concatenate([moments.windows for moments in known]).T
    # A moment that was cut or rounded to the end of the recording is no mistake. Published models are
    # up to 10 s too long near the end, so only ends far behind it tell of another unit.
    beyond = (starts >= lengths) & (ends > lengths + ROUNDING)
    outside = beyond | (ends > lengths + np.maximum(lengths / 2, FRAME)) | (ends < 0) | (starts < -FRAME)
    if outside.any():
        first = int(outside.argmax())
        note(
            f"{file}: {outside.sum():,} of {len(outside):,} moments lie outside of their recording or leave "
            f"it by far, first that of query {str(known[rows[first]].qid)!r} ({starts[first]:g} to "
            f"{ends[first]:g} s of {lengths[first]:g} s). Times are seconds from the start of the recording. "
            "They are scored all the same."
        )


def _refuse_folder(path: Path) -> None:
    """Raise DataError if a path is a folder, such as that of a run; name a prediction file in it."""
    if not path.is_dir():
        return
    files = sorted(path.glob("predictions/*.jsonl")) or sorted(path.glob("*.jsonl"))
    seeds = [file for file in files if file.name.startswith("seed")]
    # The shortest: "seed-0-queries-shuffled" is a control.
    example = f", e.g. {min(seeds or files, key=lambda file: len(file.name))}" if files else ""
    raise DataError(
        f"{path}: is a folder, and 'amrbench score' takes one prediction file. Give a file of it{example}. "
        "'amrbench compare' and 'amrbench analyze' take runs, and folders with a file for each seed."
    )


def _as_json(scores: Scores) -> dict[str, object]:
    return {"queries": scores.queries, "metrics": dict(scores.metrics)}
