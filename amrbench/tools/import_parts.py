"""The parts of an unfinished import, and which file each of their features came from.

What was read is kept only for the same file: features of two sources must not be mixed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from amrbench.errors import DataError
from amrbench.files.archives import ArchiveEntry
from amrbench.files.atomic import write_text_atomic
from amrbench.files.feature_file import KINDS, Kind, open_feature_file

Origins = dict[tuple[Kind, str], str]
"""Of each feature, by its kind and name."""
_SUFFIX = ".origins.json"
_STORED = TypeAdapter(dict[Kind, dict[str, str]])


def origins_of(source: Path) -> Callable[[ArchiveEntry], str]:
    """Return a function of the entries of a folder or archive.

    Its texts differ between files, and between a file and what replaces it.
    """
    where, is_folder = os.path.realpath(source), source.is_dir()
    state_of = cache(_state)  # An archive is asked once, whatever it holds.

    def origin_of(entry: ArchiveEntry) -> str:
        file = Path(entry.location) if is_folder else source
        return f"{where}\t{entry.path}\t{entry.size}\t{state_of(file)}"

    return origin_of


def _state(file: Path) -> str:
    state = file.stat()
    return f"{state.st_size}\t{state.st_mtime_ns}"


def write_origins(part: Path, origins: Mapping[tuple[Kind, str], str]) -> None:
    """Write the origins of the features in a part of an import beside it, before the part."""
    by_kind: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}
    for (kind, name), origin in origins.items():
        by_kind[kind][name] = origin
    write_text_atomic(part.with_suffix(_SUFFIX), json.dumps(by_kind))


def read_origins(part: Path) -> Origins:
    """Return the origins of the features in a part; empty if they are not known."""
    with suppress(OSError, ValidationError):
        stored = _STORED.validate_json(part.with_suffix(_SUFFIX).read_bytes())
        return {(kind, name): origin for kind, names in stored.items() for name, origin in names.items()}
    return {}


def origins_in(parts: Iterable[Path]) -> Origins:
    """Return the origins of all features in some parts; empty ones where they are not known."""
    origins: Origins = {}
    for part in parts:
        file = open_feature_file(part)
        origins |= {("audio", name): "" for name in file.audio.ids}
        origins |= {("text", name): "" for name in file.text.ids}
        origins |= read_origins(part)
    return origins


def new_part(folder: Path) -> Path:
    """Make the folder of parts if there is none, and return the path of the next part.

    Raises:
        DataError: The folder cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be created ({error.strerror}). Move away the file of this name, or "
            "make the folder above writable."
        ) from error
    # One more than the largest number, not their count: parts may have been deleted.
    numbers = [int(path.stem.removeprefix("part-")) for path in folder.glob("part-*.h5")]
    return folder / f"part-{max(numbers, default=-1) + 1:06d}.h5"
