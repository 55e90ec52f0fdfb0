"""Score a prediction file against an annotation file: what `amrbench score` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amrbench.errors import DataError
from amrbench.evaluation.baselines import baseline_predictions
from amrbench.files.annotations import read_annotations
from amrbench.files.predictions import read_predictions
from amrbench.functional.metrics import LONGEST, STANDARD, Metric, Scores, score, score_by
from amrbench.types import Moments, Query


@dataclass(frozen=True)
class ScoreReport:
    """The scores of one prediction file.

    Attributes:
        name: Name of the prediction file.
        scores: Metrics over all scored queries.
        partial: Whether ids were allowed to differ.
        by: The key whose values name the slices; empty when no slices were asked for.
        slices: Metrics of each group of queries.
        priors: Metrics that answers without listening reach on the same queries.
    """

    name: str
    scores: Scores
    partial: bool
    by: str = ""
    slices: Mapping[str, Scores] = field(default_factory=dict)
    priors: Mapping[str, Scores] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The report as plain values; metrics in percent, not rounded."""
        report = _plain(self.scores)
        if self.partial:
            report["partial"] = {"missing": self.scores.missing, "extra": self.scores.extra}
        if self.by:
            report["slices"] = {label: _plain(scores) for label, scores in self.slices.items()}
        return report

    def headers(self) -> list[str]:
        """Names of the columns of `rows`."""
        return ["predictions", "queries", *self.scores.metrics]

    def rows(self) -> list[list[str]]:
        """Rows of a table, percent with two decimals: the file, its slices, the prior-only rows."""
        sliced = [_cells(f"{self.by}={label}", scores) for label, scores in self.slices.items()]
        priors = [_cells(name, scores) for name, scores in self.priors.items()]
        return [_cells(self.name, self.scores), *sliced, *priors]

    def notes(self) -> list[str]:
        """Sentences about queries that the figures leave out."""
        usable = f"a window longer than 0 s and at most {LONGEST:g} s"
        left_out = (
            (self.scores.missing, "annotated queries without a prediction were left out"),
            (self.scores.extra, "predictions without an annotated query were left out"),
            (
                self.scores.unanswerable,
                f"queries without {usable} were left out",
            ),
        )
        return [f"{count} {text}." for count, text in left_out if count]


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
        partial: Score the queries that both files have instead of refusing when they differ.
        metrics: Which; see `metrics_at`.
        by: An additional key of the annotations; its values are scored separately as well.

    Raises:
        DataError: A file is wrong, or the two do not belong together.
    """
    found, queries = read_predictions(predictions), read_annotations(truth)
    try:
        return ScoreReport(
            name=Path(predictions).name,
            scores=score(found, queries, metrics=metrics, partial=partial),
            partial=partial,
            by=by or "",
            slices=score_by(found, queries, by, metrics=metrics, partial=partial) if by else {},
            priors=_prior_scores(found, queries, metrics),
        )
    except DataError as error:
        raise DataError(f"{predictions} against {truth}: {error}") from error


def _prior_scores(
    found: Sequence[Moments], queries: Sequence[Query], metrics: Sequence[Metric]
) -> dict[str, Scores]:
    predicted = {str(moments.qid) for moments in found}
    asked = [query for query in queries if str(query.qid) in predicted]
    return {name: score(rows, asked, metrics=metrics) for name, rows in baseline_predictions(asked).items()}


def _plain(scores: Scores) -> dict[str, object]:
    return {"queries": scores.queries, "metrics": dict(scores.metrics)}


def _cells(name: str, scores: Scores) -> list[str]:
    return [name, str(scores.queries), *(f"{value:.2f}" for value in scores.metrics.values())]
