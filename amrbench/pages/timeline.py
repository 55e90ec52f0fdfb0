"""Timelines: what was asked about a recording, where the truth is, and which moments systems predict.

A page has all its timelines as one block of data with the id `BLOCK`. timeline.js draws one inside of each
`timeline_element` when it is scrolled to.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amrbench.pages.page import Markup
from amrbench.types import Plain

SCRIPT, STYLE = (
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("timeline.js", "timeline.css")
)
"""What a page with timelines needs besides its data."""
BLOCK = "timelines"
"""The id of the data of a page that timeline.js draws: `timelines_as_json`."""
Moment = tuple[float, float, float | None]
"""Start and end in seconds, and score; None where only the order is known."""


@dataclass(frozen=True)
class Media:
    """Sound or a picture that a page holds itself."""

    content: bytes
    kind: str
    """The media type, e.g. "audio/mpeg"."""

    def url(self) -> str:
        """Return the content as a `data:` URL."""
        return f"data:{self.kind};base64,{b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True)
class Spectrogram(Media):
    """A picture of sound: time from left to right, and mel (HTK) from 0 at the bottom."""

    highest: float
    """Frequency at the top, in Hz."""


@dataclass(frozen=True)
class TimelineSystem:
    """What one system predicts for a query.

    Attributes:
        name: Of the system; the same on all timelines of a page.
        moments: Best first.
        saliency: (T,) relevance of each feature row; None if the system does not predict it.
        hop: Seconds between two values of the saliency.
        remark: A sentence about this prediction; may be empty.
    """

    name: str
    moments: Sequence[Moment]
    saliency: Sequence[float] | None = None
    hop: float = 1.0
    remark: str = ""

    def as_json(self, scale: tuple[float, float]) -> dict[str, Plain]:
        """Return all as plain values: times in milliseconds, scores in four digits, saliency in levels.

        Args:
            scale: The lowest and the highest saliency of the system; see `as_levels`.
        """
        return {
            "name": self.name,
            "moments": [
                [_rounded(start, 3), _rounded(end, 3), None if score is None else _rounded(score, 4)]
                for start, end, score in self.moments
            ],
            "saliency": None if self.saliency is None else as_levels(self.saliency, *scale),
            "hop": self.hop,
            "remark": self.remark,
        }


@dataclass(frozen=True)
class Timeline:
    """One query about one recording.

    Attributes:
        vid: Identifier or name of the recording.
        query: The sentence.
        seconds: Length of the recording.
        truth: Start and end of the annotated windows in seconds; None where the truth is not known.
        systems: What is predicted, in the order in which it is drawn.
        audio: The whole recording, or None.
        spectrogram: Of the whole recording, or None.
    """

    vid: str
    query: str
    seconds: float
    truth: Sequence[tuple[float, float]] | None
    systems: Sequence[TimelineSystem]
    audio: Media | None = None
    spectrogram: Spectrogram | None = None

    def as_json(self, scales: Mapping[str, tuple[float, float]]) -> dict[str, Plain]:
        """Return all but audio and spectrogram as plain values; see `TimelineSystem.as_json`.

        Args:
            scales: From `saliency_scales`.

        Raises:
            ValueError: A number is not finite.
        """
        return {
            "vid": self.vid,
            "query": self.query,
            "seconds": _rounded(self.seconds, 3),
            "truth": None
            if self.truth is None
            else [[_rounded(start, 3), _rounded(end, 3)] for start, end in self.truth],
            "systems": [system.as_json(scales.get(system.name, (0.0, 0.0))) for system in self.systems],
        }


def saliency_scales(timelines: Iterable[Timeline]) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest saliency of each system by its name, so that one scale fits all."""
    scales: dict[str, tuple[float, float]] = {}
    for timeline in timelines:
        for system in timeline.systems:
            if system.saliency is not None and len(system.saliency):
                values = [float(min(system.saliency)), float(max(system.saliency))]
                values += scales.get(system.name, ())
                scales[system.name] = (min(values), max(values))
    return scales


def as_levels(saliency: Sequence[float], low: float, high: float) -> str:
    """Return a byte for each value, in base64: 0 for the value `low`, 255 for `high`.

    A line on a page shows no more, and a report of thousands of queries stays small.

    Raises:
        ValueError: A value is not finite.
    """
    values = np.asarray(saliency, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a timeline cannot show saliency that is not finite")
    fractions = (values - low) / (high - low) if high > low else np.zeros(len(values))
    return b64encode(np.rint(255 * fractions).astype(np.uint8).tobytes()).decode("ascii")


def timelines_as_json(timelines: Sequence[Timeline]) -> dict[str, Plain]:
    """Return the timelines of a page as plain values.

    Under `media` are `data:` URLs, which `audio` and `spectrogram` of a timeline name by index, so that
    queries about the same recording share them.
    """
    media: dict[Media, int] = {}

    def index(own: Media | None) -> int | None:
        return None if own is None else media.setdefault(own, len(media))

    scales = saliency_scales(timelines)
    plain: list[Plain] = [
        {
            **timeline.as_json(scales),
            "audio": index(timeline.audio),
            "spectrogram": index(timeline.spectrogram),
            "hertz": None if timeline.spectrogram is None else timeline.spectrogram.highest,
        }
        for timeline in timelines
    ]
    return {"media": [own.url() for own in media], "timelines": plain}


def timeline_element(index: int) -> Markup:
    """Return the element in which the timeline of this index is drawn."""
    return Markup(f'<div class="timeline" data-timeline="{index}"></div>')


def _rounded(value: float, digits: int) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a timeline cannot show {value}")
    return round(float(value), digits)
