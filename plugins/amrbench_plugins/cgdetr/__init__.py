"""CG-DETR: its matcher, losses and targets; its model parts are those of `moment-detr`."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the matcher, the losses and the targets of CG-DETR."""
    from amrbench_plugins.cgdetr import parts

    return parts.PARTS
