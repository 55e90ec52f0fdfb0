"""Versions of parts, which are in the names of what they determine: stages and runs. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from amrbench.part import Part, parts_in
from amrbench.registry import Registry

_OURS = "amrbench"


def versions(options: Sequence[BaseModel], registry: Registry) -> dict[str, str]:
    """Return the versions of all parts at any depth, by slot and name."""
    return {f"{part.slot}/{part.use}": version_of(part, registry) for part in parts_in(options)}


def version_of(part: Part | type[Part], registry: Registry) -> str:
    """Return the version of a part.

    A part of a third party counts with the version of its distribution, because we cannot know whether its
    authors raise `version` with every change.
    """
    origin = registry.origin(part)
    suffix = "" if origin.distribution == _OURS else f" ({origin.distribution} {origin.version})"
    return f"{part.version}{suffix}"
