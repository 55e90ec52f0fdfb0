"""The tables that `amrbench analyze` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple

from amrbench.evaluation.analysis import Analysis, ModelAnalysis
from amrbench.evaluation.duplicates import ALIKE, TOP
from amrbench.evaluation.text_table import format_table

Cells = dict[str, str | float]

_QUANTITIES = {
    "centre": "centre, s",
    "width": "width, s",
    "centre_share": "centre, % of the window",
    "width_share": "width, % of the window",
}


def analysis_text(analysis: Analysis, form: str = "github") -> str:
    """Return the tables, each below a sentence, in a form of `text_table` except json.

    Raises:
        RunError: The form is unknown.
    """
    tables = analysis_tables(analysis)
    first = next(iter(tables))
    return "\n\n".join(
        format_table(form, [*(analysis.notes if title == first else ()), title], rows)
        for title, rows in tables.items()
    )


def analysis_tables(analysis: Analysis) -> dict[str, list[Cells]]:
    """Return the rows of each table by the sentence above it; tables without rows are left out."""
    tables = {title: list(rows(analysis)) for title, rows in _TABLES.items()}
    return {title: rows for title, rows in tables.items() if rows}


def _oracle(analysis: Analysis) -> Iterator[Cells]:
    for model in analysis.models:
        for own in model.oracle:
            yield _names(model) | {"k": str(own.k), "mean IoU": own.overlap} | _recall(own.recall)


def _ceilings(analysis: Analysis) -> Iterator[Cells]:
    for own in analysis.ceilings:
        on_it = [f"{model.recipe}, {model.member}" for model in analysis.models if model.step == own.step]
        row: Cells = {"step, s": f"{own.step:g}", "mean IoU": own.overlap}
        yield row | _recall(own.recall) | {"all starts are multiples": "; ".join(on_it)}


def _errors(analysis: Analysis) -> Iterator[Cells]:
    for model in analysis.models:
        for own in model.errors:
            for field, name in _QUANTITIES.items():
                summary = getattr(own, field)
                values = [f"{value:.2f}" for value in astuple(summary)] if summary else [""] * 4
                yield {
                    **_names(model),
                    "k": str(own.k),
                    "overlap, %": own.matched,
                    "error of": name,
                    "mean": values[0],
                    "median": values[1],
                    "mean, no sign": values[2],
                    "median, no sign": values[3],
                }


def _duplicates(analysis: Analysis) -> Iterator[Cells]:
    for model in analysis.models:
        own = model.duplicates
        yield {
            **_names(model),
            "moments": own.listed,
            "distinct": own.distinct,
            "pairs of duplicates": own.pairs,
            "queries with one, %": own.queries,
        }


def _calibration(analysis: Analysis) -> Iterator[Cells]:
    for model in analysis.models:
        for own in model.calibration:
            yield {
                **_names(model),
                "right from IoU": f"{own.iou:g}",
                "mean score, %": 100 * own.score,
                "right, %": 100 * own.right,
                "calibration error, %": 100 * own.error,
            }


def _groups(analysis: Analysis) -> Iterator[Cells]:
    for groups in zip(*(model.groups for model in analysis.models), strict=True):
        for model, own in zip(analysis.models, groups, strict=True):
            metrics = {name: value for name, value in own.metrics.items() if not name.startswith("mAP@")}
            yield {
                "by": own.by,
                "value": own.value,
                "queries": str(own.queries),
                "recordings": str(own.recordings),
                **_names(model),
                **metrics,
            }


def _disagreements(analysis: Analysis) -> Iterator[Cells]:
    for own in analysis.disagreements:
        difference = own.difference
        yield {
            "first": own.first,
            "second": own.second,
            "metric": own.metric,
            "both": f"{own.both:g}",
            "only first": f"{own.only_first:g}",
            "only second": f"{own.only_second:g}",
            "neither": f"{own.neither:g}",
            "difference": f"{difference.mean:+.2f}",
            "95 % interval": f"[{difference.low:+.2f}, {difference.high:+.2f}]",
            "p": f"{difference.p:.4f}",
        }


_TABLES: dict[str, Callable[[Analysis], Iterator[Cells]]] = {
    "Oracle: percent of the queries with a hit if the best of the first k moments were known.": _oracle,
    "Ceiling: the same for perfect moments whose starts and ends are multiples of a step.": _ceilings,
    "Errors of the best of the first k moments, where it overlaps a window; positive: late, wide.": _errors,
    f"Duplicates among the first {TOP} moments: an IoU of at least {ALIKE:g}.": _duplicates,
    "Calibration: the score of the first moment as the probability that it is right.": _calibration,
    "Metrics of groups of queries, percent.": _groups,
    "Queries that one system answers and another does not; difference of first and second in points.": (
        _disagreements
    ),
}


def _names(model: ModelAnalysis) -> Cells:
    return {"recipe": model.recipe, "member": model.member}


def _recall(recall: Mapping[float, float]) -> Cells:
    return {f"IoU {iou:g}": percent for iou, percent in recall.items()}
