"""Files that must be present before a part can be used, and where they are published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError


@dataclass(frozen=True)
class Published:
    """Where a file is published.

    Attributes:
        where: E.g. a Zenodo record.
        size: Approximate size, e.g. "1.3 GB"; empty if unknown.
    """

    where: str
    size: str = ""

    def __str__(self) -> str:
        return f"{self.where} ({self.size})" if self.size else self.where


@dataclass(frozen=True)
class RequiredFile:
    """A file or folder that must be present.

    Attributes:
        what: Its content, e.g. "annotations of castella train".
        path: Where it must be.
        present: Whether it exists.
        published: Where it is published.
        remedy: How to get it, as a sentence.
    """

    what: str
    path: Path
    present: bool
    published: Published
    remedy: str

    def text(self) -> str:
        """Return one line for a message."""
        return f"{self.what}: {self.path}. Published at {self.published}. {self.remedy}"

    def as_row(self) -> dict[str, str]:
        """Return the row of a table."""
        return {
            "what": self.what,
            "here": "yes" if self.present else "no",
            "place": str(self.path),
            "published": self.published.where,
            "size": self.published.size,
        }


def missing_files(files: Sequence[RequiredFile]) -> list[RequiredFile]:
    """Return the files that are not present, without repetitions."""
    return list(dict.fromkeys(file for file in files if not file.present))


def refuse_missing(who: str, files: Sequence[RequiredFile]) -> None:
    """Raise DataError if files are missing; it lists them, where they are published and how to get them."""
    lines = [f"  {file.text()}" for file in missing_files(files)]
    if lines:
        raise DataError("\n".join([f"{who} needs files that are missing:", *lines]))
