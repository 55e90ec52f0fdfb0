"""A clip that is mixed from corpora: a `Recording` with its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amrbench.types import Query
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound
from amrbench_plugins.datasets.corpora.sound import Wave


@dataclass(frozen=True, eq=False)
class MixedRecording:
    """A mixed clip, its queries, and what it was mixed from."""

    vid: str
    rate: int
    waveform: Wave
    queries: tuple[Query, ...]
    provenance: Mapping[str, object]
    """Sources, licences, times and levels of the background and the events."""


def source_row(source: Sound | Background) -> dict[str, object]:
    """Return where a file is from, as provenance names it."""
    return {"corpus": source.corpus, "id": source.name, "file": source.path.name, "licence": source.licence}
