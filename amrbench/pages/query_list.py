"""The queries of a page: a list that can be searched and put in order, with a timeline for each query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from amrbench.files.saliency import Saliency
from amrbench.pages import timeline
from amrbench.pages.page import Markup, Section, escaped, joined, paragraph
from amrbench.pages.timeline import Media, Moment, Spectrogram, Timeline, TimelineSystem, timelines_as_json
from amrbench.types import Floats, Query

SCRIPTS = (
    timeline.SCRIPT,
    Path(__file__).with_name("query_list.js").read_text(encoding="utf-8"),
)
STYLES = (timeline.STYLE, Path(__file__).with_name("query_list.css").read_text(encoding="utf-8"))
"""What a page with a list of queries needs besides its data."""
BLOCK = "query-data"
"""The id of the data of a page that query_list.js lists."""
MOST_MOMENTS = 5
"""Of a system, on a timeline."""
DECIMALS = 4


@dataclass(frozen=True, eq=False)
class Answers:
    """What a system answers to Q queries.

    Attributes:
        name: Of the system, and of the model whose moments are shown.
        moments: Best first, for each query.
        saliency: For each query, or empty if there is none.
        scored: Of the system, and of the models that are scored.
        values: (Q, M) percent of each query for each metric, averaged over the models; None where nothing is
            scored.
    """

    name: str
    moments: Sequence[Sequence[Moment]]
    scored: str = ""
    values: Floats | None = None
    saliency: Sequence[Saliency] = ()

    def timeline(self, row: int) -> TimelineSystem:
        """Return what a timeline shows of a query."""
        moments = self.moments[row][:MOST_MOMENTS]
        if not self.saliency:
            return TimelineSystem(self.name, moments)
        own = self.saliency[row]
        return TimelineSystem(self.name, moments, own.values.tolist(), own.hop)


@dataclass(frozen=True)
class QueryOrder:
    """Some or all queries in an order.

    Attributes:
        name: As text.
        rows: Indices of the queries.
    """

    name: str
    rows: Sequence[int]


@dataclass(frozen=True)
class RecordingMedia:
    """Sound and picture of a recording."""

    audio: Media
    spectrogram: Spectrogram


@dataclass(frozen=True, eq=False)
class QueryList:
    """Queries that a page lists.

    Attributes:
        queries: The Q queries.
        answers: Of each system.
        metrics: Names of the M metrics.
        orders: In which they can be listed; the first is shown at first.
        media: Of some queries, by their index.
        scored: Whether the ground truth is known.
    """

    queries: Sequence[Query]
    answers: Sequence[Answers]
    metrics: Sequence[str]
    orders: Sequence[QueryOrder]
    media: Mapping[int, RecordingMedia]
    scored: bool = True

    def data(self) -> dict[str, Any]:
        """Return the data of the page, by the id of its element."""
        scored = [(answers.scored, answers.values) for answers in self.answers if answers.values is not None]
        listed = {
            "systems": [name for name, _ in scored],
            "metrics": list(self.metrics),
            "qids": [str(query.qid) for query in self.queries],
            "values": [values.round(DECIMALS).tolist() for _, values in scored],
            "orders": [list(order.rows) for order in self.orders],
        }
        return {timeline.BLOCK: timelines_as_json([*self._timelines()]), BLOCK: listed}

    def section(self) -> Section:
        """Return the section with the controls and the place of the list."""
        options = "".join(
            f'<option value="{index}">{escaped(order.name)}</option>'
            for index, order in enumerate(self.orders)
        )
        sound = (
            '<label><input type="checkbox" id="query-sound"> only with sound</label>' if self.media else ""
        )
        controls = Markup(
            '<form id="query-form" role="search" hidden>\n'
            '<label>Search sentences, recordings and ids <input type="search" id="query-search"></label>\n'
            f'<label>Show <select id="query-order">{options}</select></label>\n{sound}\n</form>\n'
            '<p id="query-count" role="status"></p>\n'
            '<ol id="query-list"></ol>\n<button type="button" id="query-more" hidden>Show more</button>\n'
            "<noscript><p>The list of queries needs JavaScript.</p></noscript>"
        )
        names = ", ".join(answers.name for answers in self.answers)
        about = paragraph(
            f"Annotated windows and the first {MOST_MOMENTS} moments of {names}. Values are those of the "
            "query, in percent, averaged over all seeds; moments are those of the first."
            if self.scored
            else f"The first {MOST_MOMENTS} moments of {names}."
        )
        return Section("Queries", joined([about, *self._about_sound(), controls]))

    def _about_sound(self) -> Iterable[Markup]:
        if self.media:
            count = "1 query has" if len(self.media) == 1 else f"{len(self.media)} queries have"
            yield paragraph(f"{count} sound and a spectrogram.")

    def _timelines(self) -> Iterable[Timeline]:
        for row, query in enumerate(self.queries):
            media = self.media.get(row)
            yield Timeline(
                vid=query.vid,
                query=query.query,
                seconds=query.duration,
                truth=query.windows if self.scored else None,
                systems=[answers.timeline(row) for answers in self.answers],
                audio=media.audio if media else None,
                spectrogram=media.spectrogram if media else None,
            )


def best_and_worst(answers: Answers, column: int) -> list[QueryOrder]:
    """Return all queries from the best to the worst value of a metric, and from the worst to the best.

    Equal values keep the order of the queries.
    """
    if answers.values is None:
        return []
    value = answers.values[:, column]
    return [
        QueryOrder(f"best of {answers.scored} first", np.argsort(-value, kind="stable").tolist()),
        QueryOrder(f"worst of {answers.scored} first", np.argsort(value, kind="stable").tolist()),
    ]


def first_of_each(orders: Sequence[QueryOrder], count: int) -> list[int]:
    """Return different queries: the first of each order, then the second of each, and so on."""
    ranked = (row for rows in zip_longest(*(order.rows for order in orders)) for row in rows)
    return list(dict.fromkeys(row for row in ranked if row is not None))[:count]
