"""The numbers of a report: scores, differences, and what the analysis of the same files says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from amrbench.evaluation.analysis import Analysis, ModelAnalysis
from amrbench.evaluation.analysis_tables import analysis_tables
from amrbench.evaluation.compare import Comparison, ComparisonRow
from amrbench.evaluation.systems import System
from amrbench.functional.metrics import Metric
from amrbench.pages.charts import Interval, IntervalChart, LineChart, Series, chart_grid
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
    # The single models of a system come before its soups.
    singles = list({(row.recipe, row.metric): row for row in reversed(comparison.lines)}.values())[::-1]
    soups = [row for row in comparison.lines if row not in singles]
    colours = {name: colour for colour, name in enumerate(dict.fromkeys(row.recipe for row in singles))}
    charts = [
        chart
        for metric in dict.fromkeys(row.metric for row in singles)
        for title, rows in (
            (f"{metric}: difference from {comparison.against}", singles),
            (f"{metric}: difference of soups from their seeds", soups),
        )
        for chart in _difference_chart(title, [row for row in rows if row.metric == metric], colours)
    ]
    if not charts:
        charts = [paragraph("There is nothing to compare with: give two systems or --against.")]
    table = data_table(
        "Differences, paired by query", comparison.cells(), align=comparison.alignment(), headers=2
    )
    return Section("Differences", joined([*map(paragraph, notes), chart_grid(charts), table]))


def _difference_chart(
    title: str, rows: Sequence[ComparisonRow], colours: Mapping[str, int]
) -> Iterator[Markup]:
    """Yield the chart of a metric, if there is a difference; systems have their colours."""
    intervals = [
        Interval(
            name=f"{row.recipe}, {row.member}",
            value=row.difference.mean,
            low=row.difference.low,
            high=row.difference.high,
            colour=colours[row.recipe],
        )
        for row in rows
        if row.difference
    ]
    about = "Each difference with its 95 % interval; right of 0 is better."
    if intervals:
        yield IntervalChart(title, about, "system", "points", intervals).html()


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
    return Section("Recall over IoU", chart_grid(charts))


def groups_section(analysis: Analysis) -> Section:
    """Return the section with the scores of groups of queries."""
    singles = _singles(analysis)
    charts = [
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
        for by in dict.fromkeys(group.by for group in singles[0].groups)
        for metric in _SHOWN
    ]
    return Section("Scores by group", chart_grid(charts))


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
    return Section("Calibration", joined([*parts, chart_grid(charts)]))


def oracle_section(analysis: Analysis) -> Section:
    """Return the section about the recall that a perfect choice among the first moments would have."""
    singles = _singles(analysis)
    charts = [
        LineChart(
            title=f"Best of the first k moments, IoU {iou:g}",
            about=f"Percent of queries one of whose first k moments reaches the IoU {iou:g}, over k.",
            x_label="k",
            y_label="queries, %",
            series=[
                Series(
                    _name(model),
                    [own.k for own in model.oracle],
                    [own.recall[iou] for own in model.oracle],
                    colour,
                )
                for colour, model in enumerate(singles)
            ],
        ).html()
        for iou in singles[0].oracle[0].recall
    ]
    return Section("Recall over k", chart_grid(charts))


def analysis_section(analysis: Analysis, notes: Sequence[str]) -> Section:
    """Return the section with the tables of the analysis, below some of its notes."""
    tables = [
        details(title, data_table(title, rows, headers=2))
        for title, rows in analysis_tables(analysis).items()
    ]
    return Section("Analysis", joined([*map(paragraph, notes), *tables]))


def _singles(analysis: Analysis) -> list[ModelAnalysis]:
    """Return the single models of each system, without the soups."""
    return list({model.recipe: model for model in reversed(analysis.models)}.values())[::-1]


def _name(model: ModelAnalysis) -> str:
    return f"{model.recipe}, {model.member}"
