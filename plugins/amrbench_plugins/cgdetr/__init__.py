"""CG-DETR: its matcher, losses and targets; its model parts are those of `moment-detr`."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the matcher, the losses, the targets and the reader of checkpoints of CG-DETR."""
    from amrbench_plugins.cgdetr.lighthouse import LighthouseCgDetr
    from amrbench_plugins.cgdetr.matcher import Hungarian
    from amrbench_plugins.cgdetr.moment_sentence import MomentSentence
    from amrbench_plugins.cgdetr.moments import MomentTargets
    from amrbench_plugins.cgdetr.orthogonality import Orthogonality
    from amrbench_plugins.cgdetr.saliency_loss import Saliency
    from amrbench_plugins.cgdetr.span_losses import Foreground, SpanGiou, SpanL1

    return [
        *(Hungarian, MomentTargets, SpanL1, SpanGiou, Foreground),
        *(Saliency, MomentSentence, Orthogonality, LighthouseCgDetr),
    ]
