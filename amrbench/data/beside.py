"""Features of several encoders side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from amrbench.annotations import Query
from amrbench.data.padding import normalised
from amrbench.errors import DataError
from amrbench.sources import Rows, Source
from amrbench.types import Widths

_ROUNDING = 1
"""Encoders may differ by so many rows: some pad the last part of a second, some leave it out."""


class Beside:
    """The same queries, heard and read by several encoders; a `Source` of a split.

    Rows are divided by their norm encoder by encoder, so that none outweighs the others. A text of a single
    row, as pooled encoders give it, stands beside each row of the others.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Put sources of the same queries side by side.

        Raises:
            DataError: Their hops differ.
        """
        self.sources = tuple(sources)
        hops = {source.hop for source in sources}
        if len(hops) > 1:
            raise DataError(
                f"features of {self.encoder} cannot stand side by side: their rows are "
                f"{' and '.join(f'{hop:g}' for hop in sorted(hops))} s apart. Extract them with one hop."
            )

    @property
    def queries(self) -> Sequence[Query]:
        """Return the queries in the order of their file."""
        return self.sources[0].queries

    @property
    def place(self) -> str:
        """Return where the data lies, for messages."""
        return " + ".join(source.place for source in self.sources)

    @property
    def encoder(self) -> str:
        """Return what made the features."""
        return " + ".join(source.encoder for source in self.sources)

    @property
    def hop(self) -> float:
        """Return the seconds between two audio rows."""
        return self.sources[0].hop

    @property
    def widths(self) -> Widths:
        """Return the widths of the rows."""
        widths = [source.widths for source in self.sources]
        return Widths(sum(each.audio for each in widths), sum(each.text for each in widths))

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that determines queries and features."""
        return hashlib.sha256(repr([source.fingerprint for source in self.sources]).encode()).hexdigest()[:24]

    def check(self) -> None:
        """Raise DataError if rows are damaged."""
        for source in self.sources:
            source.check()

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording, as long as the shortest of its parts.

        Raises:
            DataError: Their lengths differ by more than a row.
        """
        return audio_beside([source.audio(vid) for source in self.sources], f"recording {vid!r}")

    def text_key(self, query: Query) -> str:
        """Return a name that queries with the same text features share."""
        return " ".join(source.text_key(query) for source in self.sources)

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query.

        Raises:
            DataError: Encoders give different numbers of tokens.
        """
        return text_beside([source.text(query) for source in self.sources], f"query {query.qid!r}")


def audio_beside(rows: Sequence[Rows], what: str) -> Rows:
    """Return (T, sum of the widths) for rows (T, D) of several encoders; see `Beside.audio`."""
    lengths = [len(each) for each in rows]
    if max(lengths) - min(lengths) > _ROUNDING:
        raise DataError(
            f"{what}: encoders give {', '.join(map(str, lengths))} rows, which differ by more than "
            f"{_ROUNDING}. Check that all were made from the same recording."
        )
    return np.concatenate([normalised(each[: min(lengths)]) for each in rows], axis=1)


def text_beside(rows: Sequence[Rows], what: str) -> Rows:
    """Return (L, sum of the widths) for rows (L, D) of several encoders; see `Beside.text`."""
    longest = max(len(each) for each in rows)
    if any(len(each) not in (1, longest) for each in rows):
        raise DataError(
            f"{what}: encoders give {', '.join(str(len(each)) for each in rows)} tokens. Only texts of one "
            "token can stand beside longer ones; choose encoders that pool their text."
        )
    wide = [np.broadcast_to(normalised(each), (longest, each.shape[1])) for each in rows]
    return np.concatenate(wide, axis=1)
