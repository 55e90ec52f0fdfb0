"""What must be at hand before data can be used, and where it is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError


@dataclass(frozen=True)
class Published:
    """Where something can be had from.

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
class Need:
    """A file or folder that must be at hand.

    Attributes:
        what: E.g. "annotations of castella train".
        place: Where it is looked for.
        found: Whether something lies there.
        published: Where it can be had from.
        remedy: What to do about it, as a sentence.
    """

    what: str
    place: Path
    found: bool
    published: Published
    remedy: str

    def text(self) -> str:
        """Return it as one line for people."""
        return f"{self.what}: {self.place}. Published at {self.published}. {self.remedy}"

    def as_row(self) -> dict[str, str]:
        """Return it as a row of a table."""
        return {
            "what": self.what,
            "here": "yes" if self.found else "no",
            "place": str(self.place),
            "published": self.published.where,
            "size": self.published.size,
        }


def missing(needs: Sequence[Need]) -> list[Need]:
    """Return what is not there, each once."""
    return list(dict.fromkeys(each for each in needs if not each.found))


def refuse_missing(who: str, needs: Sequence[Need]) -> None:
    """Raise DataError naming all that is missing, where it is published and what to do; or do nothing."""
    lines = [f"  {each.text()}" for each in missing(needs)]
    if lines:
        raise DataError("\n".join([f"{who} needs what is not here:", *lines]))
