"""What the annotations of a data set ask published features for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from amrbench.annotations import Query, safe_id
from amrbench.data.home import Home, text_id
from amrbench.errors import DataError
from amrbench.files.members import Member
from amrbench.files.store import Header
from amrbench.slots import FeaturesPart

Kind = Literal["audio", "text"]
KINDS: tuple[Kind, ...] = ("audio", "text")
IMPORTED = "imported"


@dataclass(frozen=True)
class Wish:
    """What the annotations of a data set ask for.

    Attributes:
        name: Of the data set.
        header: What the feature file will say about itself.
        durations: Seconds by recording, in the order of the annotations.
        texts: Name of each query's text, in their order.
    """

    name: str
    header: Header
    durations: Mapping[str, float]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, home: Home, encoder: FeaturesPart) -> Wish:
        """Return what all placed splits of a data set ask for."""
        if not home.placed:
            files = ", ".join(str(home.annotations(split)) for split in home.facts)
            raise DataError(
                f"{home.name}: no annotations are placed, so it is not known what to import. "
                f"Place one of {files}."
            )
        queries = [query for split in home.placed for query in home.queries(split)]
        _refuse_unsafe(home, queries)
        backend = encoder.build()
        header = Header(
            f"{home.name}, {IMPORTED}",
            encoder.label,
            IMPORTED,
            backend.hop,
            backend.audio_width,
            backend.text_width,
        )
        durations = {query.vid: query.duration for query in queries}
        return cls(home.name, header, durations, tuple(dict.fromkeys(map(text_id, queries))))

    def ids(self, kind: Kind) -> Sequence[str]:
        """Return the names of the items of a kind."""
        return list(self.durations) if kind == "audio" else self.texts

    def find(self, member: Member) -> tuple[Kind, str] | None:
        """Return what a file is the features of; None if nobody asks for it."""
        inside = member.path
        if inside.suffix not in (".npz", ".npy"):
            return None
        in_text = inside.parent.name.endswith("_text")
        if not in_text and inside.stem in self._audio:
            return "audio", self._audio[inside.stem]
        return ("text", self._text[inside.stem]) if inside.stem in self._text else None

    @cached_property
    def _audio(self) -> dict[str, str]:
        # Archives of Clotho-Moment leave points out of the names of recordings.
        plain = {vid.replace(".", ""): vid for vid in self.durations}
        return {**plain, **{vid: vid for vid in self.durations}}

    @cached_property
    def _text(self) -> dict[str, str]:
        return {f"qid{name}": name for name in self.texts}


def _refuse_unsafe(home: Home, queries: Sequence[Query]) -> None:
    for query in queries:
        try:
            safe_id(query.vid), safe_id(query.qid)
        except DataError as error:
            raise DataError(f"{home.root}: query {query.qid!r} of {home.name}: {error}") from None
