"""The numbers of a report: scores, differences, and what the analysis of the same files says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from amrbench.evaluation.analysis import Analysis, ModelAnalysis
from amrbench.evaluation.compare import Comparison, ComparisonRow
from amrbench.evaluation.systems import System
from amrbench.functional.metrics import Metric
from amrbench.pages.charts import Interval, IntervalChart, LineChart, Series, side_by_side
from amrbench.pages.page import Cell, Markup, Section, data_table, details, joined, paragraph

IOUS = tuple(percent / 100 for percent in range(5, 100, 5))
"""Thresholds of the curves of recall."""
CURVES = tuple(Metric(k, iou) for k in (1, 5) for iou in IOUS)
_SHOWN = ("R1@0.5", "mAP")
"""Metrics that are drawn for groups; the tables have all."""


def scores_section(rows: Sequence[Mapping[str, Cell]]) -> Section:
    """Return the section with the table of scores, which has a column for each metric."""
    return Section("Scores", data_table("Scores in percent", rows, headers=2))


def differences_section(comparison: Comparison, notes: Sequence[str]) -> Section:
    """Return the section with a comparison, its differences as charts, and some of its notes."""
    rows = [row for row in comparison.lines if row.difference]
    singles = [row for row in rows if row.against.startswith(f"{comparison.against}, ")]
    charts = [
        chart
        for metric in dict.fromkeys(row.metric for row in rows)
        for chart in (
            _difference_chart(f"{metric}: difference from {comparison.against}", metric, singles),
            _difference_chart(
                f"{metric}: difference of soups from their seeds",
                metric,
                [row for row in rows if row not in singles],
            ),
        )
        if chart
    ]
    table = data_table(
        "Differences, paired by query", comparison.cells(), align=comparison.alignment(), headers=2
    )
    if not rows:
        charts = [paragraph("There is nothing to compare with: give two systems or --against.")]
    return Section("Differences", joined([*map(paragraph, notes), side_by_side(charts), table]))


def _difference_chart(title: str, metric: str, rows: Sequence[ComparisonRow]) -> Markup | None:
    intervals = [
        Interval(
            f"{row.recipe}, {row.member}", row.difference.mean, row.difference.low, row.difference.high, 0
        )
        for row in rows
        if row.metric == metric and row.difference
    ]
    about = f"The difference in {metric} of each, with its 95 % interval; right of 0 is better."
    return IntervalChart(title, about, "system", "points", intervals).html() if intervals else None


def recall_section(systems: Sequence[System], first: int) -> Section:
    """Return the section with recall over the threshold of the overlap.

    Args:
        systems: Their values have a column for each of `CURVES`.
        first: Column of the first of them.
    """
    charts = []
    for number, k in enumerate((1, 5)):
        columns = range(first + number * len(IOUS), first + (number + 1) * len(IOUS))
        charts.append(
            LineChart(
                title=f"R{k} over the IoU threshold",
                about=f"Percent of queries with one of the first {k} moments at the IoU or above.",
                x_label="IoU threshold",
                y_label=f"R{k}, %",
                series=[
                    Series(
                        f"{system.name}, {system.singles.name}",
                        IOUS,
                        system.singles.values.mean(axis=0)[:, columns].mean(axis=0).tolist(),
                        colour,
                    )
                    for colour, system in enumerate(systems)
                ],
            ).html()
        )
    return Section("Recall over IoU", side_by_side(charts))


def groups_section(analysis: Analysis) -> Section:
    """Return the section with the scores of groups of queries."""
    singles = _singles(analysis)
    charts: list[Markup] = []
    tables: list[Markup] = []
    for by in dict.fromkeys(group.by for model in singles for group in model.groups):
        charts += [
            LineChart(
                title=f"{metric} by {by}",
                about=f"{metric} of the queries of each group, for each system.",
                x_label=by,
                y_label=f"{metric}, %",
                series=[
                    Series(
                        _name(model),
                        [group.value for group in model.groups if group.by == by],
                        [group.metrics[metric] for group in model.groups if group.by == by],
                        colour,
                    )
                    for colour, model in enumerate(singles)
                ],
            ).html()
            for metric in _SHOWN
        ]
        rows: list[dict[str, Cell]] = [
            {
                "system": _name(model),
                by: group.value,
                "queries": group.queries,
                "recordings": group.recordings,
                **group.metrics,
            }
            for model in analysis.models
            for group in model.groups
            if group.by == by
        ]
        tables.append(
            details(f"All metrics by {by}", data_table(f"Scores by {by}, percent", rows, headers=2))
        )
    return Section("Scores by group", joined([side_by_side(charts), *tables]))


def calibration_section(analysis: Analysis) -> Section:
    """Return the section about scores as probabilities."""
    models = [model for model in _singles(analysis) if model.calibration]
    without = [_name(model) for model in _singles(analysis) if not model.calibration]
    parts = [
        paragraph(f"{name}: scores are not between 0 and 1, or missing, so they are no probabilities.")
        for name in without
    ]
    charts = []
    for index, iou in enumerate(dict.fromkeys(own.iou for model in models for own in model.calibration)):
        bins = [[one for one in model.calibration[index].bins if one.moments] for model in models]
        charts.append(
            LineChart(
                title=f"How often the first moment is right, IoU {iou:g}",
                about=(
                    "Share of first moments that reach the IoU, over their mean score, in bins of the score. "
                    "On the dotted line, scores are probabilities."
                ),
                x_label="mean score",
                y_label="share that is right",
                series=[
                    Series(_name(model), [one.score for one in own], [one.right for one in own], colour)
                    for colour, (model, own) in enumerate(zip(models, bins, strict=True))
                ],
                diagonal=True,
            ).html()
        )
    rows: list[dict[str, Cell]] = [
        {
            "system": _name(model),
            "IoU": f"{own.iou:g}",
            "moments": own.moments,
            "mean score": own.score,
            "share that is right": own.right,
            "expected calibration error": own.error,
        }
        for model in analysis.models
        for own in model.calibration
    ]
    if rows:
        parts += [side_by_side(charts), data_table("Calibration of the first moment", rows)]
    return Section("Calibration", joined(parts))


def analysis_sections(analysis: Analysis) -> list[Section]:
    """Return the sections of the analysis."""
    disagreements = [*disagreement_rows(analysis)]
    return [
        groups_section(analysis),
        calibration_section(analysis),
        *(
            [
                Section(
                    "Answered differently",
                    data_table("Queries that one of two systems answers", disagreements),
                )
            ]
            if disagreements
            else []
        ),
    ]


def disagreement_rows(analysis: Analysis) -> Iterator[dict[str, Cell]]:
    """Yield how many queries each pair of systems answers differently."""
    for own in analysis.disagreements:
        yield {
            "first": own.first,
            "second": own.second,
            "metric": own.metric,
            "both": own.both,
            "only the first": own.only_first,
            "only the second": own.only_second,
            "neither": own.neither,
        }


def _singles(analysis: Analysis) -> list[ModelAnalysis]:
    """Return the single models of each system, without the soups."""
    return list({model.recipe: model for model in reversed(analysis.models)}.values())[::-1]


def _name(model: ModelAnalysis) -> str:
    return f"{model.recipe}, {model.member}"
