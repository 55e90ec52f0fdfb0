"""Data sets: files that people provide, mixtures of public corpora, and procedural scenes."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the data sets."""
    from amrbench_plugins.datasets import local
    from amrbench_plugins.datasets.corpora import parts
    from amrbench_plugins.datasets.procedural.dataset import Procedural

    return [Procedural, *local.PARTS, *parts.PARTS]
