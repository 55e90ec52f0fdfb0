"""The queries of a split and their features, wherever these come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.concat_features import concat_audio, concat_text
from amrbench.errors import DataError
from amrbench.types import FeatureWidths, Query, Rows

if TYPE_CHECKING:
    from amrbench.files.feature_file import FeatureFile, TextBy

_TOLERANCE = 0.1
"""Share of the annotated duration by which features may be shorter or longer."""


def text_name(query: Query, text_by: TextBy) -> str:
    r"""Return the name of a query's text.

    >>> text_name(Query(7, "a dog", "park", 60.0, ()), "qid and sentence")
    '7\ta dog'
    """
    names = {"qid": str(query.qid), "sentence": query.query}
    return names.get(text_by, f"{query.qid}\t{query.query}")


class RowsByName(Protocol):
    """Feature rows of recordings or texts. Pickles, so that worker processes can read them."""

    def rows(self, name: str) -> Rows:
        """Return (n, D)."""

    def verify(self, names: Iterable[str]) -> None:
        """Raise DataError if the rows of one of these names are missing or damaged."""

    def length(self, name: str) -> int:
        """Return n; files that have an index do not read the rows for it."""
        return len(self.rows(name))


@dataclass(frozen=True)
class RowsInMemory(RowsByName):
    """Feature rows that were just made."""

    by_name: Mapping[str, Rows]

    @override
    def rows(self, name: str) -> Rows:
        return self.by_name[name]

    @override
    def verify(self, names: Iterable[str]) -> None:
        pass  # They were never written.


@dataclass(frozen=True, eq=False)
class EncoderFeatures:
    """The features of a split by one encoder.

    Attributes:
        location: Where the features are stored, for messages.
        encoder: Name and fingerprint of the encoder; only features of one encoder may be mixed.
        hop: Seconds between two audio rows.
        widths: Of the rows.
        fingerprint: A hash of all that determines queries and features.
        audio: (T, Da) rows by the id of the recording.
        text: (L, Dt) rows by `text_name` of the query.
        text_by: What names a text.
    """

    location: str
    encoder: str
    hop: float
    widths: FeatureWidths
    fingerprint: str
    audio: RowsByName
    text: RowsByName
    text_by: TextBy

    @classmethod
    def of_file(cls, file: FeatureFile, fingerprint: str) -> EncoderFeatures:
        """Return the features in a file."""
        header = file.header
        return cls(
            location=str(file.path),
            encoder=f"{header.backend} {header.fingerprint}",
            hop=header.hop,
            widths=FeatureWidths(header.audio_width, header.text_width),
            fingerprint=fingerprint,
            audio=file.audio,
            text=file.text,
            text_by=header.text_by,
        )

    def text_key(self, query: Query) -> str:
        """Return the name of a query's text rows."""
        return text_name(query, self.text_by)


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """The queries of a split and their features, of one encoder or of several whose rows are concatenated.

    Attributes:
        queries: In the order of their file.
        encoded: One for each encoder, all with the same hop.
    """

    queries: tuple[Query, ...]
    encoded: tuple[EncoderFeatures, ...]

    def __post_init__(self) -> None:
        """Raise DataError where the hops of the encoders differ."""
        hops = sorted({features.hop for features in self.encoded})
        if len(hops) > 1:
            raise DataError(
                f"features of {self.encoder} cannot be concatenated: their rows are "
                f"{' and '.join(f'{hop:g}' for hop in hops)} s apart. Extract them with one hop."
            )

    @property
    def location(self) -> str:
        """Return where the features are stored, for messages."""
        return " + ".join(features.location for features in self.encoded)

    @property
    def encoder(self) -> str:
        """Return names and fingerprints of the encoders."""
        return " + ".join(features.encoder for features in self.encoded)

    @property
    def hop(self) -> float:
        """Return the seconds between two audio rows."""
        return self.encoded[0].hop

    @property
    def widths(self) -> FeatureWidths:
        """Return the widths of the rows."""
        widths = [features.widths for features in self.encoded]
        return FeatureWidths(sum(width.audio for width in widths), sum(width.text for width in widths))

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of all that determines queries and features."""
        fingerprints = [features.fingerprint for features in self.encoded]
        return fingerprints[0] if len(fingerprints) == 1 else content_hash(fingerprints)

    def verify(self) -> None:
        """Raise DataError if rows of these queries are missing or damaged."""
        for features in self.encoded:
            features.audio.verify(dict.fromkeys(query.vid for query in self.queries))
            features.text.verify(dict.fromkeys(features.text_key(query) for query in self.queries))

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording.

        Raises:
            DataError: The lengths that several encoders give differ by more than one row.
        """
        rows = [features.audio.rows(vid) for features in self.encoded]
        return rows[0] if len(rows) == 1 else concat_audio(rows, f"recording {vid!r}")

    def audio_length(self, vid: str) -> int:
        """Return the number of audio rows of a recording; DataError if it has none."""
        return min(features.audio.length(vid) for features in self.encoded)

    def text_length(self, query: Query) -> int:
        """Return the number of text rows of a query; DataError if it has none."""
        return max(features.text.length(features.text_key(query)) for features in self.encoded)

    def text_key(self, query: Query) -> str:
        """Return a name that queries with the same text features share."""
        return "\0".join(features.text_key(query) for features in self.encoded)  # No annotation holds NUL.

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query.

        Raises:
            DataError: Several encoders give different numbers of tokens, more than one each.
        """
        rows = [features.text.rows(features.text_key(query)) for features in self.encoded]
        return rows[0] if len(rows) == 1 else concat_text(rows, f"query {query.qid!r}")


def concat_sources(sources: Sequence[FeatureSource]) -> FeatureSource:
    """Return the features of several encoders for the same queries as one source."""
    encoded = tuple(features for source in sources for features in source.encoded)
    return FeatureSource(sources[0].queries, encoded)


def matches_duration(rows: int, duration: float, hop: float) -> bool:
    """Whether this many rows, `hop` seconds apart, can be those of a recording of `duration` seconds.

    Published durations are rounded and the last part of a second has no row, so one row more or less is
    usual; features of another recording differ by more.
    """
    return abs(rows * hop - duration) <= max(1.5 * hop, _TOLERANCE * duration)
