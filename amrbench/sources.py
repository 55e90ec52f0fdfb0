"""What a split is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from amrbench.annotations import Query
from amrbench.types import Widths

Rows = NDArray[np.float32]


class Source(Protocol):
    """Queries, and where their features come from."""

    @property
    def queries(self) -> Sequence[Query]:
        """Return the queries in the order of their file."""

    @property
    def place(self) -> str:
        """Return where the data lies, for messages."""

    @property
    def encoder(self) -> str:
        """Return what made the features; only features of one encoder may be mixed."""

    @property
    def hop(self) -> float:
        """Return the seconds between two audio rows."""

    @property
    def widths(self) -> Widths:
        """Return the widths of the rows."""

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that determines queries and features."""

    def check(self) -> None:
        """Raise DataError if the rows are damaged."""

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording."""

    def text_key(self, query: Query) -> str:
        """Return a name that queries with the same text features share."""

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query."""
