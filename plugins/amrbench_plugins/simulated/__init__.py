"""Data of true size without audio, and an encoder of it; for measurements of time, memory and statistics."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the data set and its encoder."""
    from amrbench_plugins.simulated import parts

    return (parts.SimulatedData, parts.SimulatedFeatures)
