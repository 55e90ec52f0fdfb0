"""`amrbench predict`: moments in a recording of one's own, with the model of a finished run.

A recording longer than the model was trained for is cut into audio windows that overlap, predicted one after
another, so the memory that is needed does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.data.audio import AudioFile, open_audio
from amrbench.data.feature_dataset import load_dataset
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.data.resample import resample
from amrbench.data.worker_pool import Progress, Report, no_report
from amrbench.errors import DataError
from amrbench.evaluation.ensemble import Table, overlaps
from amrbench.experiment.finished_run import FinishedRun
from amrbench.required_files import refuse_missing
from amrbench.slots.features import FeatureBackend
from amrbench.training.predict import predict
from amrbench.types import Encoded, FeatureWidths, Moments, Query, Rows

OVERLAP = 0.25
"""Share of an audio window that it has in common with the next."""
SAME_IOU = 0.5
"""From this IoU on, moments of two audio windows are the same moment."""
_SALIENCY = "saliency"


@dataclass(frozen=True)
class Answer:
    """The moments of one query.

    Attributes:
        query: The sentence.
        moments: (n, 3) start and end in seconds, and score, best first.
        saliency: (rows,) relevance of each feature row, if the model predicts it.
    """

    query: str
    moments: Table
    saliency: NDArray[np.float32] | None


@dataclass(frozen=True)
class Answers:
    """All that was predicted for a recording.

    Attributes:
        recording: Its file.
        finished: The run whose model predicted.
        windows: The number of audio windows.
        hop: Seconds of a feature row.
        answers: One for each query, in their order.
    """

    recording: AudioFile
    finished: FinishedRun
    windows: int
    hop: float
    answers: tuple[Answer, ...]

    def as_json(self, top: int) -> dict[str, object]:
        """Return everything for programs, with the best `top` moments of each query."""
        return {
            "recording": str(self.recording.path),
            "seconds": self.recording.seconds,
            "windows": self.windows,
            **self.finished.about(),
            "queries": [
                {
                    "query": answer.query,
                    "moments": [
                        {"start": start, "end": end, "score": score}
                        for start, end, score in answer.moments[:top].tolist()
                    ],
                }
                for answer in self.answers
            ],
        }

    def heading(self) -> list[str]:
        """Return the sentences that must stand above the moments."""
        about = self.finished.about()
        lines = [
            f"{self.recording.path}: {self.recording.seconds:.1f} s in {self.windows} "
            f"{'window' if self.windows == 1 else 'windows'}",
            f"{about['recipe']}, {about['member']}, of {about['run']}",
            f"Protocol {about['protocol']}: {about['protocol_about']}".removesuffix(": "),
        ]
        if about["stand_ins"]:
            lines.append(
                f"Stand-ins: {about['stand_ins']}. A stand-in knows only the sounds it was trained on."
            )
        return lines


def find_moments(
    recording: Path, queries: Sequence[str], finished: FinishedRun, *, report: Report = no_report
) -> Answers:
    """Return the moments of each query in a recording.

    Args:
        recording: An audio file of any format, rate and number of channels.
        queries: Sentences.
        finished: The run whose model predicts.
        report: Called after each audio window.

    Raises:
        DataError: The recording cannot be read, is shorter than a feature row or too loud for the encoder, a
            query is blank, or files of the encoder are missing.
        RunError: The weights of the run are no longer there.
    """
    for query in queries:
        if not query.strip():
            raise DataError("a query is blank. Say in a sentence what shall be found.")
    file = open_audio(recording)
    for part, _ in finished.backends:
        refuse_missing(f"encoder {part.label!r}", part.required_files())
    predictor = _Predictor(file, tuple(queries), finished)
    windows = predictor.windows
    predicted: list[tuple[list[Table], Rows | None]] = []
    for number, window in enumerate(windows, start=1):
        predicted.append(predictor.predict(window))
        report(Progress(f"{recording.name}: windows", number, len(windows)))
    answers = tuple(
        Answer(
            query,
            merge([moments[index] for moments, _ in predicted], windows, predictor.hop),
            _stitch([None if rows is None else rows[index] for _, rows in predicted], windows),
        )
        for index, query in enumerate(queries)
    )
    return Answers(file, finished, len(windows), predictor.hop, answers)


# ---------------------------------------------------------------- audio windows


@dataclass(frozen=True)
class AudioWindow:
    """A part of a recording that a model is given at once. All in feature rows.

    Attributes:
        start: Its first row.
        stop: The row after its last.
        first: Where its own zone begins. Zones lie side by side and cover everything.
        last: Where its own zone ends.
    """

    start: int
    stop: int
    first: float
    last: float

    def owns(self, centre: float) -> bool:
        """Whether a position, in rows of the recording, lies in its zone."""
        return self.first <= centre < self.last


def audio_windows(rows: int, longest: int) -> list[AudioWindow]:
    """Cut a recording of so many rows into windows of at most `longest` rows.

    The last one is moved back to end where the recording ends. Where two overlap, the border of their zones
    is in the middle, so that each position belongs to the window with most context around it.
    """
    step = max(1, round(longest * (1 - OVERLAP)))
    starts = list(range(0, max(1, rows - longest + step), step))
    starts[-1] = max(0, rows - longest)
    spans = [(start, min(rows, start + longest)) for start in dict.fromkeys(starts)]
    borders = [(stop + start) / 2 for (_, stop), (start, _) in pairwise(spans)]
    return [
        AudioWindow(start, stop, first, last)
        for (start, stop), first, last in zip(spans, [-np.inf, *borders], [*borders, np.inf], strict=True)
    ]


def merge(tables: Sequence[Table], windows: Sequence[AudioWindow], hop: float) -> Table:
    """Return the moments of all audio windows as one list, best first.

    A window keeps the moments whose centre is in its zone. Those that another window found with a higher
    score, at an IoU of at least `SAME_IOU`, are dropped; moments of one window never drop each other.

    Args:
        tables: (n, 3) of each window, in seconds of the recording.
        windows: As `audio_windows` gave them.
        hop: Seconds of a row.
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
        if not others or overlaps(moments[others], moments[index]).max() < SAME_IOU:
            kept.append(int(index))
    return moments[kept]


def _stitch(parts: Sequence[Rows | None], windows: Sequence[AudioWindow]) -> Rows | None:
    """Return the saliency of all rows, each from the window whose zone it lies in."""
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
    """Predicts for audio windows of a recording as the model was trained to."""

    file: AudioFile
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
        """Return the rows of the queries, of each encoder."""
        return [
            RowsInMemory(dict(zip(self.queries, backend.text(self.queries), strict=True)))
            for _, backend in self.finished.backends
        ]

    @property
    def windows(self) -> list[AudioWindow]:
        if self.rows < 1:
            raise DataError(
                f"{self.file.path}: lasts {self.file.seconds:.2f} s, but the encoder gives a row for each "
                f"{self.hop:g} s. Use a longer recording."
            )
        return audio_windows(self.rows, self.finished.recipe.limits.frames)

    def predict(self, window: AudioWindow) -> tuple[list[Table], Rows | None]:
        """Return the moments of each query, in seconds of the recording, and (queries, rows) saliency."""
        dataset = load_dataset([self._source(window)], self.finished.recipe.limits)
        ranking = [part.build() for part in self.finished.recipe.ranking]
        salient: dict[int, Rows] = {}

        def watch(indices: Sequence[int], encoded: Encoded) -> None:
            if _SALIENCY in encoded.tensors:
                salient.update(zip(indices, encoded.tensors[_SALIENCY].float().numpy(), strict=True))

        model = self.finished.criterion.model
        moments = predict(model, dataset, device=torch.device("cpu"), ranking=ranking, watch=watch)
        shift = window.start * self.hop
        tables = [np.column_stack([each.windows + shift, _scores(each)]) for each in moments]
        return tables, np.stack([salient[index] for index in range(len(dataset))]) if salient else None

    def _source(self, window: AudioWindow) -> FeatureSource:
        seconds, location = self._seconds(window), str(self.file.path)
        start = round(window.start * self.hop * self.file.rate)
        waveform = self.file.read(start, start + round(seconds * self.file.rate))
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

    def _seconds(self, window: AudioWindow) -> float:
        """Return how long a window lasts; the last one has what is left after its last row."""
        end = self.file.seconds if window.stop == self.rows else window.stop * self.hop
        return end - window.start * self.hop

    def _encode(self, waveform: Rows, backend: FeatureBackend, window: AudioWindow) -> Rows:
        rows = backend.audio(resample(waveform, self.file.rate, backend.rate))[: window.stop - window.start]
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(broken):
            at = (window.start + int(broken[0])) * self.hop
            raise DataError(
                f"{self.file.path}: the features at {at:g} s are not finite; the samples there are too "
                "large, or the encoder is broken. Export the recording again, with samples from -1 to 1."
            )
        return rows


def _scores(moments: Moments) -> NDArray[np.float64]:
    return np.zeros(len(moments.windows)) if moments.scores is None else moments.scores
