"""Optimizers, learning-rate schedules and averages of weights."""

from __future__ import annotations

from amrbench import hookimpl
from amrbench.part import Part
from amrbench_plugins.optimizers.adamw import AdamW
from amrbench_plugins.optimizers.ema import Ema
from amrbench_plugins.optimizers.schedules import Constant, Cosine, Step


@hookimpl
def amrbench_parts() -> list[type[Part]]:
    """Offer the parts of this plugin."""
    return [AdamW, Constant, Cosine, Ema, Step]
