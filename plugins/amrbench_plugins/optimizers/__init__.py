"""Optimizers, learning-rate schedules and averages of weights."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the optimizers and the schedules."""
    from amrbench_plugins.optimizers.adamw import AdamW
    from amrbench_plugins.optimizers.ema import Ema
    from amrbench_plugins.optimizers.schedules import Constant, Cosine, Step

    return [AdamW, Constant, Cosine, Ema, Step]
