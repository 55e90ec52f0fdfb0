"""The parts that this plugin offers."""

from __future__ import annotations

from amrbench.part import Part
from amrbench_plugins.cgdetr.lighthouse import LighthouseCgDetr
from amrbench_plugins.cgdetr.matching import Hungarian
from amrbench_plugins.cgdetr.moment_sentence import MomentSentence
from amrbench_plugins.cgdetr.moments import Moments
from amrbench_plugins.cgdetr.orthogonality import Orthogonality
from amrbench_plugins.cgdetr.saliency_loss import Saliency
from amrbench_plugins.cgdetr.span_losses import Foreground, SpanGiou, SpanL1

PARTS: tuple[type[Part], ...] = (
    Hungarian,
    Moments,
    SpanL1,
    SpanGiou,
    Foreground,
    Saliency,
    MomentSentence,
    Orthogonality,
    LighthouseCgDetr,
)
