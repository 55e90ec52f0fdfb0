"""Small feature files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from amrbench.files.feature_file import FeatureFile, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file

HEADER = FeatureHeader("toy", "toy-features", "f00", 1.0, 4, 3)
NAMES = ("-dash", "été 🎵", "x" * 150, "a b/c")
SENTENCES = ("a dog", "un été")


def items(names: tuple[str, ...], width: int) -> InMemoryTable:
    """Return items of 1, 2, ... random rows."""
    rng = np.random.default_rng(0)
    lengths = range(1, len(names) + 1)
    return InMemoryTable(
        names, tuple(rng.normal(size=(length, width)).astype(np.float32) for length in lengths)
    )


def broken_rows(value: float) -> InMemoryTable:
    """Return an item "ok", and an item "bad" with a value in row 1."""
    rows = np.ones((3, 4), np.float32)
    rows[1, 2] = value
    return InMemoryTable(("ok", "bad"), (np.ones((2, 4), np.float32), rows))


def written(path: Path, *, half: bool = False, **changes: InMemoryTable) -> FeatureFile:
    """Write a feature file with other tables in place of the usual ones, and open it."""
    tables = {"audio": items(NAMES, 4), "text": items(SENTENCES, 3)} | changes
    write_feature_file(path, replace(HEADER, half=half), audio=tables["audio"], text=tables["text"])
    return open_feature_file(path)
