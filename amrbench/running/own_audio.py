"""Moments of a recording of one's own, found by the model of a finished run.

A recording longer than the model was trained for is heard in windows that overlap, one after another, so the
memory that is needed does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.annotations import Query
from amrbench.data.audio import AudioFile, Waveform, open_audio, resample
from amrbench.data.beside import audio_beside, text_beside
from amrbench.data.needs import refuse_missing
from amrbench.data.prepare import Progress
from amrbench.data.split import load_split
from amrbench.errors import DataError
from amrbench.files.predictions import Moments
from amrbench.results.fusion import Table
from amrbench.running.finished import Finished
from amrbench.running.windows import Window, merged, windows_of
from amrbench.sources import Rows
from amrbench.training.inference import predict
from amrbench.types import Encoded, Widths

_SALIENCY = "saliency"


@dataclass(frozen=True)
class Answer:
    """The moments of one query.

    Attributes:
        query: The sentence.
        moments: (n, 3) start and end in seconds, and score, best first.
        saliency: (rows,) how much each row has to do with it, if the model says so.
    """

    query: str
    moments: Table
    saliency: NDArray[np.float32] | None


@dataclass(frozen=True)
class Answers:
    """All that was found in a recording.

    Attributes:
        recording: Its file.
        finished: The run that was asked.
        windows: How many windows were heard.
        hop: Seconds of a row.
        answers: One for each query, in their order.
    """

    recording: AudioFile
    finished: Finished
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
                    "query": each.query,
                    "moments": [
                        {"start": start, "end": end, "score": score}
                        for start, end, score in each.moments[:top].tolist()
                    ],
                }
                for each in self.answers
            ],
        }

    def heading(self) -> list[str]:
        """Return what must be told above each answer."""
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
    recording: Path,
    queries: Sequence[str],
    finished: Finished,
    *,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Answers:
    """Return the moments of each query in a recording.

    Args:
        recording: An audio file of any format, rate and number of channels.
        queries: Sentences.
        finished: The run whose model answers.
        tell: Called after each window.

    Raises:
        DataError: The recording cannot be read, is shorter than a row or too loud for the encoder, a query is
            blank, or files of the encoder are missing.
        RunError: The weights of the run are no longer there.
    """
    for query in queries:
        if not query.strip():
            raise DataError("a query is blank. Say in a sentence what shall be found.")
    file = open_audio(recording)
    for part, _ in finished.backends:
        refuse_missing(f"encoder {part.label!r}", part.needs())
    listener = _Listener(file, tuple(queries), finished)
    windows = listener.windows
    tables: list[list[Table]] = []
    saliency: list[Rows | None] = []
    for number, window in enumerate(windows, start=1):
        table, salient = listener.hear(window)
        tables.append(table)
        saliency.append(salient)
        tell(Progress(f"{recording.name}: windows", number, len(windows)))
    answers = tuple(
        Answer(
            query,
            merged([each[place] for each in tables], windows, listener.hop),
            _stitched([None if each is None else each[place] for each in saliency], windows),
        )
        for place, query in enumerate(queries)
    )
    return Answers(file, finished, len(windows), listener.hop, answers)


@dataclass(frozen=True, eq=False)
class _Listener:
    """Hears windows of a recording as the model was trained to."""

    file: AudioFile
    queries: tuple[str, ...]
    finished: Finished

    @property
    def hop(self) -> float:
        return self.finished.backends[0][1].hop

    @cached_property
    def texts(self) -> dict[str, Rows]:
        found = [backend.text(self.queries) for _, backend in self.finished.backends]
        many = len(found) > 1
        return {
            query: text_beside(rows, repr(query)) if many else rows[0]
            for query, *rows in zip(self.queries, *found, strict=True)
        }

    @property
    def windows(self) -> list[Window]:
        rows = int(self.file.seconds / self.hop + 1e-9)
        if rows < 1:
            raise DataError(
                f"{self.file.path}: lasts {self.file.seconds:.2f} s, but the encoder gives a row for each "
                f"{self.hop:g} s. Use a longer recording."
            )
        return windows_of(rows, self.finished.recipe.limits.frames)

    def hear(self, window: Window) -> tuple[list[Table], Rows | None]:
        """Return the moments of each query, in seconds of the recording, and (queries, rows) saliency."""
        source = _Heard(self, self._audio(window), window)
        split = load_split([source], self.finished.recipe.limits)
        ranking = [part.build() for part in self.finished.recipe.ranking]
        salient: dict[int, Rows] = {}

        def watch(places: Sequence[int], encoded: Encoded) -> None:
            if _SALIENCY in encoded.tensors:
                salient.update(zip(places, encoded.tensors[_SALIENCY].float().numpy(), strict=True))

        model = self.finished.criterion.model
        found = predict(model, split, device=torch.device("cpu"), ranking=ranking, watch=watch)
        shift = window.start * self.hop
        tables = [np.column_stack([each.windows + shift, _scores(each)]) for each in found]
        return tables, np.stack([salient[place] for place in range(len(split))]) if salient else None

    def seconds(self, window: Window) -> float:
        """Return how long a window lasts; the last one has what is left after its last row."""
        last = window.stop == int(self.file.seconds / self.hop + 1e-9)
        return (self.file.seconds if last else window.stop * self.hop) - window.start * self.hop

    def _audio(self, window: Window) -> Rows:
        start = round(window.start * self.hop * self.file.rate)
        waveform = self.file.read(start, start + round(self.seconds(window) * self.file.rate))
        rows = [
            self._finite(backend.audio(self._at_rate(waveform, backend.rate)), window)
            for _, backend in self.finished.backends
        ]
        return audio_beside(rows, str(self.file.path)) if len(rows) > 1 else rows[0]

    def _finite(self, rows: Rows, window: Window) -> Rows:
        rows = rows[: window.stop - window.start]
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(broken):
            at = (window.start + int(broken[0])) * self.hop
            raise DataError(
                f"{self.file.path}: the features at {at:g} s are not finite; the samples there are too "
                "large, or the encoder is broken. Export the recording again, with samples from -1 to 1."
            )
        return rows

    def _at_rate(self, waveform: Waveform, rate: int) -> Waveform:
        return resample(waveform, self.file.rate, rate)


@dataclass(frozen=True, eq=False)
class _Heard:
    """One window as a `Source`, with all queries."""

    listener: _Listener
    rows: Rows
    window: Window

    @cached_property
    def queries(self) -> Sequence[Query]:
        seconds = self.listener.seconds(self.window)
        return tuple(
            Query(str(place), text, self.place, seconds, ())
            for place, text in enumerate(self.listener.queries)
        )

    @property
    def place(self) -> str:
        return str(self.listener.file.path)

    @property
    def encoder(self) -> str:
        return self.listener.finished.recipe.features.label

    @property
    def hop(self) -> float:
        return self.listener.hop

    @property
    def widths(self) -> Widths:
        return Widths(self.rows.shape[1], self.listener.texts[self.listener.queries[0]].shape[1])

    @property
    def fingerprint(self) -> str:
        return f"{self.place} {self.window.start}"

    def check(self) -> None:
        """Find nothing wrong: the rows were made a moment ago."""

    def audio(self, vid: str) -> Rows:  # noqa: ARG002 - there is one
        return self.rows

    def text_key(self, query: Query) -> str:
        return query.query

    def text(self, query: Query) -> Rows:
        return self.listener.texts[query.query]


def _scores(moments: Moments) -> NDArray[np.float64]:
    """Return the scores; ranking keeps them."""
    found = moments.scores
    return np.zeros(len(moments.windows)) if found is None else found


def _stitched(parts: Sequence[Rows | None], windows: Sequence[Window]) -> Rows | None:
    """Return the saliency of all rows, each from the window whose zone it lies in."""
    found = np.zeros(windows[-1].stop, np.float32)
    for part, window in zip(parts, windows, strict=True):
        if part is None:
            return None
        for row in range(window.start, window.stop):
            if window.owns(row + 0.5):
                found[row] = part[row - window.start]
    return found
