"""Paths that recipes and protocols name: relative ones start from the folder of the file that names them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from amrbench.notes import note
from amrbench.part import Strict, locates

S = TypeVar("S", bound=Strict)
T = TypeVar("T")
Change = Callable[[str], str]


def with_resolved_paths(options: S, file: Path) -> S:
    """Return options whose paths, at any depth, can be opened from the working directory.

    A path that exists only relative to the working directory is taken from there, with a note.

    Args:
        options: Of a recipe or protocol.
        file: Where they are written.
    """
    return _with_paths(options, partial(_resolved, file=file))


def with_absolute_paths(options: S) -> S:
    """Return options whose paths can be opened from any folder; one that begins with ~ stays as it is."""
    return _with_paths(options, lambda path: path if path.startswith("~") else os.path.abspath(path))


def without_paths(options: S) -> S:
    """Return options with all paths empty: where data lies changes no result, and what it holds is hashed."""
    return _with_paths(options, lambda _: "")


def _with_paths(options: S, change: Change) -> S:
    """Return options with each path that is not empty, at any depth, replaced."""
    changed = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        new = _replaced(value, change) if locates(field) else _below(value, change)
        if new != value:
            changed[name] = new
    return options.model_copy(update=changed) if changed else options


def _below(value: T, change: Change) -> T:
    """Return a value with the paths of all options inside it replaced."""
    if isinstance(value, Strict):
        return _with_paths(value, change)
    if isinstance(value, Mapping):
        return {name: _below(item, change) for name, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(_below(item, change) for item in value)  # type: ignore[return-value]
    return value


def _replaced(value: T, change: Change) -> T:
    """Return a path, or each path of a tuple, replaced."""
    if isinstance(value, tuple):
        return tuple(_replaced(item, change) for item in value)  # type: ignore[return-value]
    return change(value) if isinstance(value, str) and value else value  # type: ignore[return-value]


def _resolved(value: str, file: Path) -> str:
    """Return a path as it is opened from the working directory."""
    if value.startswith("~"):
        return value
    given, relative = Path(value), file.parent / value
    if given == relative or given.is_absolute() or not given.exists():
        return value if given == relative else str(relative)
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
    return str(relative)
