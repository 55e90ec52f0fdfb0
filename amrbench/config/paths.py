"""Paths that recipes and protocols name: relative ones start from the folder of the file that names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from amrbench.notes import note
from amrbench.part import Strict, locates

S = TypeVar("S", bound=Strict)
T = TypeVar("T")


def with_resolved_paths(options: S, file: Path) -> S:
    """Return options whose paths, at any depth, can be opened from the working directory.

    A path that exists only relative to the working directory is taken from there, with a note.

    Args:
        options: Of a recipe or protocol.
        file: Where they are written.
    """
    changed = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        new = _resolved(value, file) if locates(field) else _below(value, file)
        if new != value:
            changed[name] = new
    return options.model_copy(update=changed) if changed else options


def _below(value: T, file: Path) -> T:
    """Return a value with the paths of all options inside it resolved."""
    if isinstance(value, Strict):
        return with_resolved_paths(value, file)
    if isinstance(value, Mapping):
        return {name: _below(item, file) for name, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(_below(item, file) for item in value)  # type: ignore[return-value]
    return value


def _resolved(value: T, file: Path) -> T:
    """Return a path, or each path of a tuple, as it is opened from the working directory."""
    if isinstance(value, tuple):
        return tuple(_resolved(item, file) for item in value)  # type: ignore[return-value]
    if not isinstance(value, str) or not value or value.startswith("~"):
        return value
    given, relative = Path(value), file.parent / value
    if given == relative or given.is_absolute() or not given.exists():
        return value if given == relative else str(relative)  # type: ignore[return-value]
    if not relative.exists():
        note(
            f"{file}: {value!r} is taken from the working directory, because there is no {relative}. Paths "
            "start from the folder of the file that names them."
        )
        return value
    if not relative.samefile(given):
        note(
            f"{file}: {value!r} is {relative}, beside this file; the one in the working directory is not "
            "used."
        )
    return str(relative)  # type: ignore[return-value]
