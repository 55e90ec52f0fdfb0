"""QD-DETR, the official baseline of the challenge: what `moment-detr` and CG-DETR lack of it."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the saliency loss and the reader of checkpoints of QD-DETR."""
    from amrbench_plugins.qddetr import parts

    return [parts.NegativePairs, parts.LighthouseQdDetr]
