"""The components of the report "Advanced Audio Moment Retrieval via CG-DETR", one file each."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the parts of this plugin."""
    from amrbench_plugins.ours import architecture, training

    return [*architecture.PARTS, *training.PARTS]
