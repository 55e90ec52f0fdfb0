"""`moment-detr`: the model whose slots the parts of CG-DETR and its successors fill."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the model and the baseline's choice for each of its slots."""
    from amrbench_plugins.moment_detr.decoder import Dab
    from amrbench_plugins.moment_detr.encoder import Transformer
    from amrbench_plugins.moment_detr.fusion import AdaptiveCrossAttention
    from amrbench_plugins.moment_detr.heads import Foreground, Saliency, Spans
    from amrbench_plugins.moment_detr.model import MomentDetr
    from amrbench_plugins.moment_detr.query import RandomAnchors, Zeros
    from amrbench_plugins.moment_detr.small_blocks import AddGlobal, Flat, Identity, ReluPRelu, Tef

    return [
        MomentDetr,
        *(ReluPRelu, AddGlobal, Tef, Identity, Flat),
        *(AdaptiveCrossAttention, Transformer, Zeros, RandomAnchors, Dab),
        *(Spans, Foreground, Saliency),
    ]
