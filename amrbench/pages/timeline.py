"""Timelines: what was asked about a recording, where the truth is, and which moments systems predict.

A page embeds all its timelines as one block of JSON. timeline.js draws one inside of each
`<div class="timeline" data-timeline="INDEX">` when it is scrolled to.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amrbench.types import Plain

BLOCK = "timelines"
"""The id of the element that holds the timelines of a page."""
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
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"


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

    def as_json(self) -> dict[str, Plain]:
        """Return all as plain values, with times in milliseconds and scores and saliency in four digits."""
        return {
            "name": self.name,
            "moments": [
                [_rounded(start, 3), _rounded(end, 3), None if score is None else _rounded(score, 4)]
                for start, end, score in self.moments
            ],
            "saliency": None if self.saliency is None else [_rounded(value, 4) for value in self.saliency],
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
        spectrogram: A picture of the whole recording, time from left to right, or None.
    """

    vid: str
    query: str
    seconds: float
    truth: Sequence[tuple[float, float]] | None
    systems: Sequence[TimelineSystem]
    audio: Media | None = None
    spectrogram: Media | None = None

    def as_json(self) -> dict[str, Plain]:
        """Return all but audio and spectrogram as plain values; see `TimelineSystem.as_json`.

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
            "systems": [system.as_json() for system in self.systems],
        }


def timelines_as_json(timelines: Iterable[Timeline]) -> dict[str, Plain]:
    """Return the timelines of a page as plain values.

    Under `media` are `data:` URLs, which `audio` and `spectrogram` of a timeline name by index, so that
    queries about the same recording share them. Under `scales` are the lowest and highest saliency of each
    system, so that all timelines are drawn to the same scale.
    """
    media: dict[Media, int] = {}
    scales: dict[str, tuple[float, float]] = {}
    plain: list[Plain] = []
    for timeline in timelines:
        indices: dict[str, Plain] = {
            name: None if own is None else media.setdefault(own, len(media))
            for name, own in (("audio", timeline.audio), ("spectrogram", timeline.spectrogram))
        }
        plain.append({**timeline.as_json(), **indices})
        for system in timeline.systems:
            if system.saliency is not None and len(system.saliency):
                values = [*system.saliency, *scales.get(system.name, ())]
                scales[system.name] = (min(values), max(values))
    return {
        "media": [own.url() for own in media],
        "scales": {name: [_rounded(low, 4), _rounded(high, 4)] for name, (low, high) in scales.items()},
        "timelines": plain,
    }


def timelines_block(timelines: Iterable[Timeline]) -> str:
    """Return the element with all timelines of a page; no text in it ends the element."""
    text = json.dumps(timelines_as_json(timelines), allow_nan=False, separators=(",", ":"))
    return f'<script type="application/json" id="{BLOCK}">{text.replace("<", chr(92) + "u003c")}</script>'


def timeline_element(index: int) -> str:
    """Return the element in which the timeline of this index is drawn."""
    return f'<div class="timeline" data-timeline="{index}"></div>'


def _rounded(value: float, digits: int) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a timeline cannot show {value}")
    return round(float(value), digits)
