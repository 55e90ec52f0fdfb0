"""Lists of names as options."""

from __future__ import annotations

from typing import TypeVar

from amrbench.part import problem

Name = TypeVar("Name", bound=str)


def each_once(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """Return the names, or raise a `problem` when one stands twice."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise problem(f"{twice[0]!r} stands twice in this list; keep one.")
    return names
