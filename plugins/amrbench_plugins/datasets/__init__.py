"""Data sets."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the data sets."""
    from amrbench_plugins.datasets import placed
    from amrbench_plugins.datasets.corpora import parts
    from amrbench_plugins.datasets.procedural_set import Procedural

    return [Procedural, *placed.PARTS, *parts.PARTS]
