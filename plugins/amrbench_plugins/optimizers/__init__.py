"""Optimizers, learning-rate schedules and averages of weights."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the optimizers and the schedules."""
    from amrbench_plugins.optimizers import parts

    return [parts.AdamW, parts.Constant, parts.Cosine, parts.Ema, parts.Step]
