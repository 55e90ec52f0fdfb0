"""Trackers of losses and metrics: TensorBoard and MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the observers."""
    from amrbench_plugins.observers.parts import MLflow, TensorBoard

    return [MLflow, TensorBoard]
