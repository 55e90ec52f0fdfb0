"""CG-DETR: its matcher, losses and targets; its model parts are those of `moment-detr`."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the matcher, the losses, the targets and the reader of checkpoints of CG-DETR."""
    from amrbench_plugins.cgdetr import parts
    from amrbench_plugins.cgdetr.moments import MomentTargets

    return [
        *(parts.Hungarian, MomentTargets, parts.SpanL1, parts.SpanGiou, parts.Foreground),
        *(parts.Saliency, parts.MomentSentence, parts.Orthogonality, parts.LighthouseCgDetr),
    ]
