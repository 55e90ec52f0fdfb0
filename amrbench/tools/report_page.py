"""`amrbench report`: one page about runs or prediction files. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from amrbench.errors import DataError
from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.compare import METRICS, compare, run_heading
from amrbench.evaluation.result import read_result
from amrbench.evaluation.score_files import score_files
from amrbench.evaluation.systems import (
    System,
    distinct_names,
    is_run,
    prediction_files,
    read_systems,
    refuse_truth_of_runs,
    run_folder,
)
from amrbench.evaluation.table import run_table
from amrbench.files.atomic import refuse_replacing
from amrbench.functional.metrics import Metric
from amrbench.pages import query_list
from amrbench.pages.charts import refuse_without_matplotlib
from amrbench.pages.making_section import ReportedRun, making_section
from amrbench.pages.page import Cell, Page, Section, refuse_unwritable
from amrbench.pages.query_list import QueryList
from amrbench.pages.score_sections import (
    CURVES,
    analysis_section,
    calibration_section,
    differences_section,
    groups_section,
    oracle_section,
    recall_section,
    scores_section,
)
from amrbench.pages.training_section import training_section
from amrbench.tools.report_queries import scored_queries, unscored_queries


@dataclass(frozen=True)
class ReportRequest:
    """What a page is about.

    Attributes:
        sources: Run folders, prediction files, or folders with a prediction file for each seed.
        against: What the others are compared with; the first source by default.
        truth: Annotations of prediction files.
        audio: Folder with recordings, for some queries.
    """

    sources: tuple[Path, ...]
    against: Path | None = None
    truth: Path | None = None
    audio: Path | None = None

    @property
    def all_sources(self) -> tuple[Path, ...]:
        """Return all that is compared; what the others are compared with comes first."""
        every = [*filter(None, [self.against]), *self.sources]
        return tuple({run_folder(path).resolve(): run_folder(path) for path in every}.values())


@dataclass(frozen=True)
class _Content:
    """What a page says about scores and queries."""

    heading: tuple[str, ...]
    sections: tuple[Section, ...]
    queries: QueryList


def write_report(request: ReportRequest, output: Path) -> None:
    """Write a page about runs or prediction files.

    Args:
        request: What it is about.
        output: The file.

    Raises:
        RunError: A run is not finished, or the sources cannot be compared.
        DataError: A file is wrong or missing, matplotlib is not installed, or the page cannot be written.
    """
    refuse_unwritable(output)
    refuse_without_matplotlib()
    files = [*request.all_sources, *filter(None, [request.truth])]
    refuse_replacing(output, files)
    if pipe := next((file for file in files if file.is_fifo()), None):
        raise DataError(f"{pipe}: is a pipe, but a report reads its files several times. Give a stored file.")
    if request.truth is not None:
        refuse_truth_of_runs(request.all_sources, request.truth)
    if request.audio is not None and not request.audio.is_dir():
        raise DataError(f"{request.audio}: there is no such folder. Give the folder of the recordings.")
    _page(request).write(output)


def _page(request: ReportRequest) -> Page:
    runs = _runs(request)
    unscored = len(runs) == len(request.all_sources) and not any(run.result.scored for run in runs)
    content = _unscored(runs, request) if unscored else _scored(runs, request)
    training, making = ([training_section(runs)], [making_section(runs)]) if runs else ([], [])
    names = ", ".join(path.name for path in request.all_sources)
    if runs:
        names = ", ".join(dict.fromkeys(run.result.recipe.name for run in runs))
        names = f"{names} under {runs[0].result.protocol.name}"
    return Page(
        title=names,
        heading=[*content.heading, f"Written by amrbench {version('amrbench')}."],
        sections=[*content.sections, *training, content.queries.section(), *making],
        styles=query_list.STYLES,
        scripts=query_list.SCRIPTS,
        data=content.queries.data(),
    )


def _runs(request: ReportRequest) -> list[ReportedRun]:
    """Return the runs, with the names that they have as systems of a comparison too."""
    paths = request.all_sources
    results = {path: read_result(path) for path in paths if is_run(path)}
    named = [(results[path].recipe.name if path in results else path.name, path) for path in paths]
    return [
        ReportedRun(name, path, results[path])
        for path, name in zip(paths, distinct_names(named), strict=True)
        if path in results
    ]


def _unscored(runs: list[ReportedRun], request: ReportRequest) -> _Content:
    table = run_table([run.named_result for run in runs])
    return _Content(table.heading, (), unscored_queries(runs, request.audio))


def _scored(runs: list[ReportedRun], request: ReportRequest) -> _Content:
    sources, against, truth = request.sources, request.against, request.truth
    metrics = [*map(Metric.parse, METRICS), *CURVES]
    systems = read_systems(sources, metrics, against=against, truth=truth)
    comparison = compare(sources, against=against, truth=truth)
    analysis = analyze(sources, against=against, truth=truth)
    known = run_heading(systems)
    heading = run_table([run.named_result for run in runs]).heading if runs else ()
    sections = (
        scores_section([*_score_rows(systems, runs, truth)]),
        differences_section(comparison, [note for note in comparison.notes if note not in known]),
        recall_section(systems, len(METRICS)),
        oracle_section(analysis),
        groups_section(analysis),
        calibration_section(analysis),
        analysis_section(analysis, [note for note in analysis.notes if note not in known]),
    )
    annotated = f" of {truth.name}" if truth else ""
    about = f"{comparison.queries} queries{annotated}, {comparison.recordings} recordings."
    return _Content(
        (*heading, about),
        sections,
        scored_queries(systems, analysis.disagreements, request.audio),
    )


def _score_rows(
    systems: list[System], runs: list[ReportedRun], truth: Path | None
) -> Iterator[dict[str, Cell]]:
    """Yield the rows of the table of scores: of all models and controls, and baselines once at the end."""
    rows: list[dict[str, Cell]] = [*run_table([run.named_result for run in runs]).cells()] if runs else []
    yield from (row for row in rows if row["recipe"])
    baselines: list[dict[str, Cell]] = [row for row in rows if not row["recipe"]]
    for system in systems:
        if system.result or truth is None:
            continue
        for file in prediction_files(system.location):
            report = score_files(file, truth)
            member = file.name if system.location.is_dir() else ""
            scores = report.scores
            yield {"recipe": system.name, "member": member, "queries": scores.queries, **scores.metrics}
            baselines = baselines or [
                {"recipe": "", "member": name, "queries": own.queries, **own.metrics}
                for name, own in report.baselines.items()
            ]
    yield from baselines
