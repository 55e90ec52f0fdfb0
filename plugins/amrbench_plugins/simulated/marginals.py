"""How many recordings, queries and windows data sets have, and how long they are: counts and quantiles.

Counted in the annotation files that Lighthouse ships (github.com/line/lighthouse at d095eaa; annotations of
CASTELLA: Munakata et al. 2025, CC BY 4.0; of Clotho-Moment: Munakata et al. 2025). Windows are cut at the end
of their recordings; widths, windows and words are those of all splits together. What is assumed is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = 1
"""Raised whenever a query or a recording changes for the same seed."""
LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Fractions that the quantiles are for."""
Quantiles = tuple[float, ...]
"""One value for each level."""
Frequencies = tuple[int, ...]
"""How often the counts 1, 2, 3, ... occur."""


@dataclass(frozen=True)
class SplitShape:
    """A split.

    Attributes:
        durations: Lengths of the recordings in seconds.
        queries: Number of recordings with 1, 2, ... queries.
    """

    durations: Quantiles
    queries: Frequencies


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A data set.

    Attributes:
        name: As in protocols.
        splits: By name.
        windows: Number of queries with 1, 2, ... windows.
        widths: Of windows in seconds; the key is the smallest number of windows of a query that they are for.
        step: Starts and ends are multiples of it, in seconds.
        words: Of a sentence.
        file: Name of the published annotation file of a split; empty if there is none.
    """

    name: str
    splits: Mapping[str, SplitShape]
    windows: Frequencies
    widths: Mapping[int, Quantiles]
    step: float
    words: Quantiles
    file: str = ""


def _always(value: float) -> Quantiles:
    return (value,) * len(LEVELS)


CASTELLA = Shape(
    name="castella",
    splits={
        "train": SplitShape(
            (60, 63, 88.5, 129, 255, 299, 299, 299, 299, 299, 300, 300, 300, 300, 300),
            (208, 277, 201, 133, 57),
        ),
        "val": SplitShape(
            (59, 60, 65, 69, 82, 104, 125, 150.5, 179, 208, 240, 285.6, 299, 300, 300),
            (61, 72, 35, 8, 2),
        ),
        "test": SplitShape(
            (59, 60.65, 68.25, 80, 109, 139, 182, 230, 291, 299, 299, 300, 300, 300, 300),
            (143, 185, 139, 78, 21),
        ),
    },
    windows=(
        *(1795, 717, 389, 259, 175, 151, 100, 64, 44, 46, 34, 24, 24, 16, 8, 2),
        *(5, 5, 6, 4, 4, 2, 1, 3, 2, 0, 0, 0, 0, 0, 0, 1),
    ),
    widths={
        1: (1, 1, 1, 1, 2, 3, 4, 6, 8, 13, 21, 47, 91, 256.3, 294),
        2: (1, 1, 1, 1, 2, 2, 3, 5, 6, 9, 15, 28, 51.45, 131.69, 270),
        5: (1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 9, 15, 23, 50, 230),
    },
    step=1.0,
    words=(1, 2, 2, 3, 3, 5, 6, 7, 7, 8, 9, 11, 13, 17, 22),
    file="castella_{split}_release.jsonl",
)
CLOTHO_MOMENT = Shape(
    name="clotho-moment",
    splits={
        # The number of queries is published; recordings are assumed to share them as in val and test.
        "train": SplitShape(_always(60), (21_556, 5_416, 102)),
        "val": SplitShape(_always(60), (3308, 787, 12)),
        "test": SplitShape(_always(60), (4319, 1129, 24)),
    },
    windows=(1,),
    widths={1: (1, 5, 10, 14, 16, 17, 19, 20, 22, 23, 25, 27, 28, 29, 30)},
    step=0.1,
    words=(8, 8, 8, 8, 9, 10, 10, 11, 12, 12, 13, 15, 17, 20, 21),
    file="clotho_moment_{split}_release.jsonl",
)
# Table 1 of the report gives clips, queries, their length, and one to five queries a clip. All else is
# assumed: about equally many clips with each number, one window a query, sounds of up to 40 s.
INTERMEDIATE300 = Shape(
    name="intermediate300",
    splits={
        "train": SplitShape(_always(300), (1105, 1099, 1000, 898, 898)),
        "val": SplitShape(_always(300), (116, 112, 100, 86, 86)),
    },
    windows=(1,),
    widths={1: (0.5, 0.5, 1, 1.5, 2.5, 4, 6, 8, 10, 10, 10, 20, 30, 40, 40)},
    step=0.1,
    words=CASTELLA.words,
)
SHAPES: dict[str, Shape] = {shape.name: shape for shape in (CASTELLA, CLOTHO_MOMENT, INTERMEDIATE300)}
