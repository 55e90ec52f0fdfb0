"""Files that must be present before a part can be used, and where they are published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError


@dataclass(frozen=True)
class Published:
    """Where something is published.

    Attributes:
        where: Its public home, e.g. a Zenodo record.
        size: About how large, e.g. "1.3 GB"; empty if it is not known.
    """

    where: str
    size: str = ""

    def __str__(self) -> str:
        """Return the home with the size."""
        return f"{self.where} ({self.size})" if self.size else self.where


@dataclass(frozen=True)
class RequiredFile:
    """A file or folder that must be present.

    Attributes:
        what: E.g. "annotations of castella train".
        path: Where it is looked for.
        present: Whether it exists.
        published: Where it is published.
        remedy: What to do about it, as a sentence.
    """

    what: str
    path: Path
    present: bool
    published: Published
    remedy: str

    def text(self) -> str:
        """Return it as one line for people."""
        return f"{self.what}: {self.path}. Published at {self.published}. {self.remedy}"

    def as_row(self) -> dict[str, str]:
        """Return it as a row of a table."""
        return {
            "what": self.what,
            "here": "yes" if self.present else "no",
            "place": str(self.path),
            "published": self.published.where,
            "size": self.published.size,
        }


def missing_files(files: Sequence[RequiredFile]) -> list[RequiredFile]:
    """Return those that are not present, each once."""
    return list(dict.fromkeys(file for file in files if not file.present))


def refuse_missing(who: str, files: Sequence[RequiredFile]) -> None:
    """Raise DataError with all that is missing, where it is published and what to do; or do nothing."""
    lines = [f"  {file.text()}" for file in missing_files(files)]
    if lines:
        raise DataError("\n".join([f"{who} needs what is not here:", *lines]))
