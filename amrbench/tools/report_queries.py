"""The queries of a report: what each system answers, the orders in which they are listed, and their sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from amrbench.data.audio import open_audio
from amrbench.data.recording_files import RecordingFiles
from amrbench.errors import DataError
from amrbench.evaluation.compare import METRICS
from amrbench.evaluation.disagreement import Disagreement
from amrbench.evaluation.result import Result
from amrbench.evaluation.systems import System, prediction_files
from amrbench.files.annotations import read_annotations
from amrbench.files.predictions import read_predictions
from amrbench.files.saliency import Saliency, read_saliency
from amrbench.functional.aligned_windows import AlignedWindows
from amrbench.pages.making_section import ReportedRun
from amrbench.pages.query_list import (
    Answers,
    QueryList,
    QueryOrder,
    RecordingMedia,
    best_and_worst,
    first_of_each,
)
from amrbench.pages.recording_media import sound, spectrogram
from amrbench.pages.timeline import Moment
from amrbench.types import Moments, Query

MOST_SOUNDS = 20
"""Queries with sound and a spectrogram."""


def scored_queries(
    systems: Sequence[System], disagreements: Sequence[Disagreement], audio: Path | None
) -> QueryList:
    """Return the queries that are scored, with the answers of the first model of each system.

    Args:
        systems: Their values have a column for each of `METRICS`, and then others.
        disagreements: Of pairs of systems.
        audio: Folder of the recordings, if it is at hand.

    Raises:
        DataError: A recording cannot be read, or there is none in the folder.
    """
    queries = systems[0].singles.windows[0].queries
    answers = [_answers(system, queries) for system in systems]
    rows = {str(query.qid): row for row, query in enumerate(queries)}
    orders = [order for own in answers for order in best_and_worst(own, METRICS.index("mAP"))]
    orders += [
        QueryOrder(
            f"only one answers ({own.metric}): {own.first} or {own.second}",
            [rows[query.qid] for query in own.queries],
        )
        for own in disagreements
        if own.queries
    ]
    return QueryList(
        queries=queries,
        answers=answers,
        metrics=METRICS,
        orders=[QueryOrder("all, as in the annotations", range(len(queries))), *orders],
        media=_media(queries, first_of_each(orders, len(queries)), audio),
    )


def unscored_queries(runs: Sequence[ReportedRun], audio: Path | None) -> QueryList:
    """Return the queries of runs whose ground truth is not public; see `scored_queries`."""
    queries = read_annotations(runs[0].folder / runs[0].result.truth)
    answers = []
    for run in runs:
        predicted = {str(own.qid): own for own in read_predictions(prediction_files(run.folder)[0])}
        moments = [_moments(predicted[str(query.qid)]) for query in queries]
        saliency = _saliency(run.folder, run.result, queries)
        answers.append(Answers(f"{run.name}, seed 0", moments, saliency=saliency))
    return QueryList(
        queries=queries,
        answers=answers,
        metrics=(),
        orders=[QueryOrder("all, as in the annotations", range(len(queries)))],
        media=_media(queries, range(len(queries)), audio),
        scored=False,
    )


def _answers(system: System, queries: Sequence[Query]) -> Answers:
    """Return what the first model of a system answers to queries in an order."""
    windows = system.singles.windows[0]
    listed, scored = (
        {str(query.qid): row for row, query in enumerate(own)} for own in (windows.queries, system.queries)
    )
    values = system.singles.values[:, :, : len(METRICS)].mean(axis=0)
    return Answers(
        name=f"{system.name}, seed 0" if system.result else system.name,
        moments=[_listed(windows, listed[str(query.qid)]) for query in queries],
        scored=f"{system.name}, {system.singles.name}",
        values=values[[scored[str(query.qid)] for query in queries]],
        saliency=_saliency(system.location, system.result, queries) if system.result else (),
    )


def _saliency(folder: Path, result: Result, queries: Sequence[Query]) -> list[Saliency]:
    """Return the saliency of the first seed of a run for each query; empty if its model gives none."""
    file = next((row.saliency for row in result.rows if row.kind == "seed"), "")
    if not file:
        return []
    by_qid = {str(own.qid): own for own in read_saliency(folder / file)}
    return [by_qid[str(query.qid)] for query in queries]


def _listed(windows: AlignedWindows, row: int) -> list[Moment]:
    first, last = windows.listed.offsets[row : row + 2].tolist()
    return [
        (start, end, score if windows.has_scores else None)
        for start, end, score in windows.listed.values[first:last].tolist()
    ]


def _moments(predicted: Moments) -> list[Moment]:
    scores = [None] * len(predicted.windows) if predicted.scores is None else predicted.scores.tolist()
    return [(*window, score) for window, score in zip(predicted.windows.tolist(), scores, strict=True)]


def _media(
    queries: Sequence[Query], preferred: Sequence[int], audio: Path | None
) -> Mapping[int, RecordingMedia]:
    """Return sound and picture of the first queries in an order whose recordings are in a folder."""
    if audio is None:
        return {}
    files = RecordingFiles.with_audio(audio, [query.vid for query in queries])
    paths = {row: path for row in preferred if (path := files.find(queries[row].vid))}
    if not paths:
        raise DataError(
            f"{audio}: there is no recording of these queries, e.g. none for {queries[0].vid!r}. Give the "
            "folder with files that have the ids of the recordings as names."
        )
    chosen = dict(list(paths.items())[:MOST_SOUNDS])
    opened = {path: open_audio(path) for path in dict.fromkeys(chosen.values())}
    media = {path: RecordingMedia(sound(file), spectrogram(file)) for path, file in opened.items()}
    return {row: media[path] for row, path in chosen.items()}
