"""The parts that this plugin offers."""

from __future__ import annotations

from amrbench.part import Part
from amrbench_plugins.moment_detr.activation import ReluPRelu
from amrbench_plugins.moment_detr.attention_norm import Identity
from amrbench_plugins.moment_detr.decoder import Dab
from amrbench_plugins.moment_detr.encoder import Transformer
from amrbench_plugins.moment_detr.fusion import AdaptiveCrossAttention
from amrbench_plugins.moment_detr.heads import Foreground, Saliency, Spans
from amrbench_plugins.moment_detr.model import MomentDetr
from amrbench_plugins.moment_detr.prior import Flat
from amrbench_plugins.moment_detr.query import RandomAnchors, Zeros
from amrbench_plugins.moment_detr.refine import AddGlobal
from amrbench_plugins.moment_detr.temporal import Tef

PARTS: tuple[type[Part], ...] = (
    MomentDetr,
    ReluPRelu,
    AddGlobal,
    Tef,
    AdaptiveCrossAttention,
    Identity,
    Transformer,
    Zeros,
    RandomAnchors,
    Dab,
    Flat,
    Spans,
    Foreground,
    Saliency,
)
