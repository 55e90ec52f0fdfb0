"""Labels: annotated windows as tables and label files have them, one on each line."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from amrbench.notes import note


@dataclass(frozen=True, slots=True)
class Label:
    """One annotated window.

    Attributes:
        path: The file it is in.
        line: Its line in the file, from 1.
        vid: The recording, as written; empty if the file does not say.
        query: The sentence.
        start: Start in seconds.
        end: End in seconds.
        duration: Length of the recording in seconds; None if the file does not say.
        qid: Identifier of the query; empty if the file does not say.
    """

    path: Path
    line: int
    vid: str
    query: str
    start: float
    end: float
    duration: float | None = None
    qid: str = ""

    @property
    def location(self) -> str:
        """Return file and line for messages."""
        return f"{self.path}, line {self.line}"


@dataclass
class Remarks:
    """What people must know of labels that are read; one note for all labels with the same remark."""

    limit: int = 5
    """How many locations a note names."""
    _locations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, location: str, text: str) -> None:
        """Add a remark; a text that is the same in many locations becomes one note."""
        self._counts[text] += 1
        if self._counts[text] <= self.limit:
            self._locations[text].append(location)

    def issue(self) -> None:
        """Issue the notes."""
        for text, locations in self._locations.items():
            rest = self._counts[text] - len(locations)
            note(f"{'; '.join(locations)}{f' and {rest:,} more' if rest else ''}: {text}")
