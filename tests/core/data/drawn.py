"""A source whose rows are drawn from the names of recordings and texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.types import FeatureWidths, Query, Rows

WIDTHS = FeatureWidths(4, 3)


def drawn(name: str, count: int, width: int) -> Rows:
    rng = np.random.default_rng(list(name.encode()))
    return rng.normal(size=(count, width)).astype(np.float32)


@dataclass
class DrawnRows:
    """Rows in memory, which count how often they are verified."""

    by_name: dict[str, Rows]
    verified: list[list[str]] = field(default_factory=list)

    def rows(self, name: str) -> Rows:
        return self.by_name[name]

    def verify(self, names: Iterable[str]) -> None:
        self.verified.append(list(names))


def drawn_source(
    queries: Sequence[Query],
    name: str = "here",
    *,
    encoder: str = "toy",
    widths: FeatureWidths = WIDTHS,
    surplus: int = 0,
) -> FeatureSource:
    """Return a source with one row a second, 4 wide, and one row a word, 3 wide.

    Args:
        queries: Of the source.
        name: Its fingerprint.
        encoder: Name of the encoder.
        widths: That it claims to have.
        surplus: Audio rows that each recording has too many.
    """
    audio = {query.vid: drawn(query.vid, int(query.duration) + surplus, 4) for query in queries}
    text = {query.query: drawn(query.query, len(query.query.split()), 3) for query in queries}
    features = EncoderFeatures(
        location=f"/data/{name}",
        encoder=encoder,
        hop=1.0,
        widths=widths,
        fingerprint=name,
        audio=DrawnRows(audio),
        text=DrawnRows(text),
        text_by="sentence",
    )
    return FeatureSource(tuple(queries), (features,))
