"""`amrbench predict`: moments in any recording, with the model of a finished run.

A recording longer than the model's limit is cut into overlapping audio windows. These are predicted one by
one, so that memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.data.audio import AudioFile, open_audio
from amrbench.data.cut_notes import note_cut_sentences, note_long_sentences
from amrbench.data.feature_dataset import load_dataset
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.data.near_files import refuse_missing_recording
from amrbench.data.resample import resample
from amrbench.data.worker_pool import Progress, Report, no_report
from amrbench.errors import DataError
from amrbench.evaluation.ensemble import Table
from amrbench.experiment.finished_run import FinishedRun
from amrbench.functional.windows import iou
from amrbench.required_files import refuse_missing
from amrbench.slots.features import FeatureBackend
from amrbench.tools.random_sentences import LEVEL, fraction_below, random_sentences
from amrbench.training.predict import predict
from amrbench.training.saliency import SaliencyCollector
from amrbench.types import FeatureWidths, Floats, Query, Rows

OVERLAP = 0.25
"""Fraction of an audio window that the next one repeats."""
SAME_IOU = 0.5
"""Moments of two audio windows with at least this IoU are taken for the same moment."""


@dataclass(frozen=True)
class Answer:
    """The moments of one query.

    Attributes:
        query: The sentence.
        moments: (n, 3) start and end in seconds, and score, best first.
        saliency: (T,) relevance of each feature row; None if the model does not predict it.
        above: Fraction of random sentences whose best moment in this recording scores lower than that of the
            query; None if the run has too few sentences.
    """

    query: str
    moments: Table
    saliency: NDArray[np.float32] | None
    above: float | None = None

    def remark(self) -> str:
        """Return a sentence if nothing is above what a random sentence gets; otherwise an empty text."""
        if self.above is None or self.above >= LEVEL:
            return ""
        return (
            "Nothing is above what a random sentence gets here: of random sentences about this recording, "
            f"{self.above:.0%} score lower."
        )


@dataclass(frozen=True)
class Answers:
    """The moments of all queries about a recording.

    Attributes:
        recording: Its file.
        finished: The run whose model predicted them.
        windows: The number of audio windows.
        hop: Seconds between two feature rows.
        answers: One for each query, in their order.
    """

    recording: AudioFile
    finished: FinishedRun
    windows: int
    hop: float
    answers: tuple[Answer, ...]

    def as_json(self, top: int) -> dict[str, object]:
        """Return all but the saliency as plain values, with the best `top` moments of each query."""
        return {
            "recording": str(self.recording.path),
            "seconds": self.recording.seconds,
            "windows": self.windows,
            **self.finished.about(),
            "queries": [
                {
                    "query": answer.query,
                    "above_random": answer.above,
                    "moments": [
                        {"start": start, "end": end, "score": score}
                        for start, end, score in answer.moments[:top].tolist()
                    ],
                }
                for answer in self.answers
            ],
        }

    def heading(self) -> list[str]:
        """Return lines for people to print above the moments: recording, model, protocol and stand-ins."""
        windows = "window" if self.windows == 1 else "windows"
        return [
            f"{self.recording.path}: {self.recording.seconds:.1f} s in {self.windows} {windows}",
            *self.finished.heading(),
        ]

    def text(self, top: int) -> str:
        """Return lines for people, with the best `top` moments of each query."""
        lines = self.heading()
        for answer in self.answers:
            lines += ["", answer.query, *([f"  {answer.remark()}"] if answer.remark() else [])]
            lines += [
                f"  {start:8.1f} - {end:8.1f} s   {score:.3f}"
                for start, end, score in answer.moments[:top].tolist()
            ]
        return "\n".join(lines)


def system_names(results: Sequence[Answers]) -> list[str]:
    """Return a name for the model of each result: recipe and member, and the run where two are alike.

    The run is named by its folder, or by the whole path if two folders have one name.
    """
    runs = [result.finished for result in results]
    names = [f"{run.result.recipe.name}, {run.member.member}" for run in runs]
    folders = _told_apart([run.folder.name for run in runs], [str(run.folder) for run in runs])
    return _told_apart(names, [f"{name}, {folder}" for name, folder in zip(names, folders, strict=True)])


def _told_apart(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Return names, each that stands there more than once replaced by the longer one."""
    return [name if names.count(name) == 1 else other for name, other in zip(names, longer, strict=True)]


def find_moments(
    recording: Path, queries: Sequence[str], finished: FinishedRun, *, report: Report = no_report
) -> Answers:
    """Return the moments of each query in a recording.

    Args:
        recording: A file of any rate and length; see `open_audio`.
        queries: Sentences.
        finished: The run whose model predicts.
        report: Called after each audio window.

    Raises:
        DataError: The recording cannot be read, is shorter than a feature row or too loud for the encoder, a
            query is blank or not UTF-8, or files of the encoder are missing.
        RunError: The weights of the run are not there.
    """
    for query in queries:
        _refuse_unusable(query)
    refuse_missing_recording(recording)
    file, asked = open_audio(recording), tuple(queries)
    queries = (*asked, *random_sentences(finished.folder / finished.result.truth, asked))
    for part, _ in finished.backends:
        refuse_missing(f"encoder {part.label!r}", part.required_files())
    predictor = _Predictor(file, asked, queries, finished)
    if not predictor.rows:
        raise DataError(
            f"{file.path}: lasts {file.seconds:.2f} s, but the encoder gives one row for each "
            f"{predictor.hop:g} s. Use a longer recording."
        )
    predictor.note_long_sentences()
    windows = audio_windows(predictor.rows, finished.recipe.limits.frames)
    predicted: list[tuple[list[Table], Rows | None]] = []
    for number, window in enumerate(windows, start=1):
        predicted.append(predictor.predict(window))
        report(Progress(f"{recording.name}: windows", number, len(windows)))
    file.note_levels()
    tables = [
        merge([moments[index] for moments, _ in predicted], windows, predictor.hop)
        for index in range(len(queries))
    ]
    others = [_best_score(table) for table in tables[len(asked) :]]
    answers = tuple(
        Answer(
            query,
            tables[index],
            _stitch([None if rows is None else rows[index] for _, rows in predicted], windows),
            fraction_below(_best_score(tables[index]), others),
        )
        for index, query in enumerate(asked)
    )
    return Answers(file, finished, len(windows), predictor.hop, answers)


def _refuse_unusable(query: str) -> None:
    if not query.strip():
        raise DataError("a query is blank. Describe in a sentence what to find.")
    try:
        query.encode()
    except UnicodeEncodeError:
        raise DataError(f"the query {query!r} is not UTF-8. Type it again.") from None


def _best_score(table: Table) -> float:
    return float(table[0, 2]) if len(table) else -np.inf


# ---------------------------------------------------------------- audio windows


@dataclass(frozen=True)
class AudioWindow:
    """A part of a recording that the model predicts at once, and the zone whose moments it keeps.

    The zones of all windows cover the recording without overlap. All positions are in feature rows.

    Attributes:
        start: Its first row.
        stop: The row after its last.
        zone_start: Where its zone begins; -inf for the first window.
        zone_end: Where its zone ends; inf for the last window.
    """

    start: int
    stop: int
    zone_start: float
    zone_end: float

    def owns(self, position: float) -> bool:
        """Whether a position is in its zone."""
        return self.zone_start <= position < self.zone_end


def audio_windows(rows: int, longest: int) -> list[AudioWindow]:
    """Cut a recording of so many rows into windows of at most `longest` rows.

    The last window ends with the recording, so it may overlap more. Zones meet in the middle of an overlap,
    so each position belongs to the window with most context around it.
    """
    step = max(1, round(longest * (1 - OVERLAP)))
    starts = list(range(0, max(1, rows - longest + step), step))
    starts[-1] = max(0, rows - longest)
    spans = [(start, min(rows, start + longest)) for start in dict.fromkeys(starts)]
    borders = [(stop + start) / 2 for (_, stop), (start, _) in pairwise(spans)]
    zones = pairwise([-np.inf, *borders, np.inf])
    return [AudioWindow(*span, *zone) for span, zone in zip(spans, zones, strict=True)]


def merge(tables: Sequence[Table], windows: Sequence[AudioWindow], hop: float) -> Table:
    """Return the moments of all audio windows as one list, best first.

    A window keeps the moments whose centre is in its zone. Of two moments of different windows with an IoU of
    at least `SAME_IOU`, the one with the higher score is kept.

    Args:
        tables: (n, 3) of each window, in seconds of the recording.
        windows: From `audio_windows`.
        hop: Seconds between two feature rows.
    """
    owned = [
        table[[window.owns((start + end) / 2 / hop) for start, end, _ in table]]
        for table, window in zip(tables, windows, strict=True)
    ]
    moments = np.concatenate(owned)
    window_of = np.repeat(np.arange(len(owned)), [len(table) for table in owned])
    kept: list[int] = []
    for index in np.argsort(-moments[:, 2], kind="stable"):
        others = [other for other in kept if window_of[other] != window_of[index]]
        if not others or iou(moments[others], moments[index : index + 1]).max() < SAME_IOU:
            kept.append(int(index))
    return moments[kept]


def _stitch(parts: Sequence[Rows | None], windows: Sequence[AudioWindow]) -> Rows | None:
    """Return (T,) saliency of the recording; each row is from the window that owns its centre."""
    saliency = np.zeros(windows[-1].stop, np.float32)
    for part, window in zip(parts, windows, strict=True):
        if part is None:
            return None
        for row in range(window.start, window.stop):
            if window.owns(row + 0.5):
                saliency[row] = part[row - window.start]
    return saliency


# ---------------------------------------------------------------- prediction


@dataclass(frozen=True, eq=False)
class _Predictor:
    """Predicts audio windows of a recording with features, limits and ranking of the run's recipe.

    `asked` are the sentences among `queries` about which people get notes.
    """

    file: AudioFile
    asked: tuple[str, ...]
    queries: tuple[str, ...]
    finished: FinishedRun

    @property
    def hop(self) -> float:
        return self.finished.backends[0][1].hop

    @property
    def rows(self) -> int:
        return int(self.file.seconds / self.hop + 1e-9)  # Hops such as 0.1 s have no exact binary value.

    @cached_property
    def texts(self) -> list[RowsInMemory]:
        """Return the text features of the queries, one entry for each encoder."""
        return [
            RowsInMemory(dict(zip(self.queries, backend.text(self.queries), strict=True)))
            for _, backend in self.finished.backends
        ]

    def note_long_sentences(self) -> None:
        """Issue notes about sentences of which only the beginning is used."""
        name = str(self.file.path)
        for _, backend in self.finished.backends:
            note_long_sentences(name, self.asked, backend)
        lengths = {query: max(texts.length(query) for texts in self.texts) for query in self.asked}
        note_cut_sentences(name, lengths, self.finished.recipe.limits)

    def predict(self, window: AudioWindow) -> tuple[list[Table], Rows | None]:
        """Return the moments of each query, in seconds of the recording, and saliency (queries, rows)."""
        dataset = load_dataset([self._source(window)], self.finished.recipe.limits)
        saliency = SaliencyCollector()
        model, reading = self.finished.criterion.model, self.finished.reading
        moments = predict(model, dataset, reading, device=torch.device("cpu"), watch=saliency)
        tables = [
            np.column_stack([own.windows + window.start * self.hop, cast("Floats", own.scores)])
            for own in moments
        ]
        rows = saliency.rows()
        return tables, np.stack(rows) if rows else None

    def _source(self, window: AudioWindow) -> FeatureSource:
        location, start = str(self.file.path), window.start * self.hop
        # The last window includes the rest after its last row.
        seconds = (self.file.seconds if window.stop == self.rows else window.stop * self.hop) - start
        first = round(start * self.file.rate)
        waveform = self.file.read(first, first + round(seconds * self.file.rate))
        queries = tuple(
            Query(str(number), text, location, seconds, ()) for number, text in enumerate(self.queries)
        )
        encoded = tuple(
            EncoderFeatures(
                location=location,
                encoder=part.label,
                hop=backend.hop,
                widths=FeatureWidths(backend.audio_width, backend.text_width),
                fingerprint=f"{location} {window.start}",
                audio=RowsInMemory({location: self._encode(waveform, backend, window)}),
                text=texts,
                text_by="sentence",
            )
            for (part, backend), texts in zip(self.finished.backends, self.texts, strict=True)
        )
        return FeatureSource(queries, encoded)

    def _encode(self, waveform: Rows, backend: FeatureBackend, window: AudioWindow) -> Rows:
        rows = backend.audio(resample(waveform, self.file.rate, backend.rate))[: window.stop - window.start]
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(wrong):
            seconds = (window.start + int(wrong[0])) * self.hop
            raise DataError(
                f"{self.file.path}: the features at {seconds:g} s are not finite; the samples there are too "
                "large, or the encoder is broken. Export the recording again, with samples from -1 to 1."
            )
        return rows
