"""The laws of the four kinds of scenes: two targets, and two sets to train on before.

`scenes` has the geometry of CASTELLA. `scenes-small` has the same laws, milder and shorter. `short` differs
from them as Clotho-Moment differs from CASTELLA, and `long` as the report's set of five-minute clips does:
longer moments, fewer of them, cleaner sounds, and exact windows.
"""

from __future__ import annotations

from collections.abc import Mapping

from amrbench_plugins.datasets.layouts import castella
from amrbench_plugins.datasets.layouts.laws import (
    Annotators,
    Bed,
    Bounds,
    Changes,
    Counts,
    Laws,
    Levels,
    LogNormal,
    Quantiles,
    SplitLaw,
    Widths,
)

_SPLITS = ("train", "val", "test")
_PEOPLE = Annotators(step=1.0, jitter=0.3)
_PROGRAM = Annotators(step=0.1, jitter=0.0)
_PLAIN = Levels(
    near=Bounds(4.0, 16.0),
    far=Bounds(-2.0, 6.0),
    far_probability=0.3,
    varies=0.0,
    changes=Changes(edge=Bounds(0.0, 6.0), wander=1.0, pauses=0.0),
)
_SOME_BED = Bed(probability=0.25, speech_probability=0.5, level=Bounds(-8.0, 0.0))
_FREQUENT_BED = Bed(probability=0.5, speech_probability=0.5, level=Bounds(-6.0, 3.0))

SHORT = Laws(
    splits=dict.fromkeys(
        _SPLITS, SplitLaw(Quantiles((60, 60)), Counts((0, 0, 1, 1, 1)), Counts((1,)), width=18.5)
    ),
    widths=Widths(between=0.32, within=0.0, room=10.0, shortest=5.0),
    gap=LogNormal(median=8.0, sigma=0.9),
    pair_probability=0.0,
    others=(0, 2),
    levels=_PLAIN,
    bed=_SOME_BED,
    annotators=_PROGRAM,
)
LONG = Laws(
    splits=dict.fromkeys(
        _SPLITS, SplitLaw(Quantiles((120, 120)), Counts((0, 0, 0, 0, 1, 1, 1)), Counts((7, 3)), width=11.0)
    ),
    widths=Widths(between=0.35, within=0.3, room=5.0, shortest=2.0),
    gap=LogNormal(median=15.0, sigma=0.9),
    pair_probability=0.25,
    others=(0, 2),
    levels=_PLAIN,
    bed=_SOME_BED,
    annotators=_PROGRAM,
)
SCENES_SMALL = Laws(
    splits=dict.fromkeys(
        _SPLITS,
        SplitLaw(
            seconds=Quantiles((50, 70)),
            queries=Counts((5, 20, 35, 25, 15)),
            windows=Counts((60, 25, 10, 5)),
            width=5.0,
        ),
    ),
    widths=Widths(between=0.7, within=0.6, thinning=0.12),
    gap=LogNormal(median=8.0, sigma=0.9),
    pair_probability=0.5,
    others=(0, 2),
    levels=Levels(
        near=Bounds(4.0, 16.0),
        far=Bounds(-1.0, 6.0),
        far_probability=0.3,
        varies=2.0,
        changes=Changes(edge=Bounds(4.0, 12.0), wander=2.0, pauses=0.1),
    ),
    bed=_FREQUENT_BED,
    annotators=_PEOPLE,
)
SCENES = Laws(
    splits=castella.SPLITS,
    widths=castella.WIDTHS,
    gap=castella.GAP,
    pair_probability=0.5,
    others=(0, 2),
    levels=Levels(
        near=Bounds(2.0, 14.0),
        far=Bounds(-2.0, 6.0),
        far_probability=0.3,
        varies=2.0,
        changes=Changes(edge=Bounds(6.0, 16.0), wander=3.0, pauses=0.15),
    ),
    bed=_FREQUENT_BED,
    annotators=_PEOPLE,
)

LAWS: Mapping[str, Laws] = {"short": SHORT, "long": LONG, "scenes": SCENES, "scenes-small": SCENES_SMALL}
