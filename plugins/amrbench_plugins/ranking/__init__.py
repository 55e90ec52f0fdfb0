"""Steps from the moments that were read out to the list that is scored."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer clipping and rounding, suppression, and new scores."""
    from amrbench_plugins.ranking import parts

    return [
        *(parts.Clip, parts.Round, parts.Nms, parts.SoftNms),
        *(parts.ClassIou, parts.SaliencyContrast, parts.Calibrated),
    ]
