"""Data sets: files that people provide, mixtures of public corpora or of takes, and procedural scenes."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the data sets."""
    from amrbench_plugins.datasets import parts

    return [
        *(parts.Castella, parts.ClothoMoment, parts.Dcase2026Evaluation, parts.Tut2017, parts.Unav100),
        *(parts.Files, parts.Procedural, parts.Intermediate300, parts.ClothoMoment60, parts.Recorded),
    ]
