"""`moment-detr`: the model whose slots the parts of CG-DETR and its successors fill."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the model and what the baselines, CG-DETR and QD-DETR, choose for each of its slots."""
    from amrbench_plugins.moment_detr import parts
    from amrbench_plugins.moment_detr.model import MomentDetr

    return [
        *(MomentDetr, parts.ReluPRelu, parts.Tef, parts.Identity, parts.AdaptiveCrossAttention),
        *(parts.CrossAttention, parts.Transformer, parts.NoEncoder, parts.AddGlobal),
        *(
            parts.Zeros,
            parts.RandomAnchors,
            parts.Flat,
            parts.Dab,
            parts.Independent,
            parts.Spans,
            parts.Foreground,
            parts.Saliency,
        ),
    ]
