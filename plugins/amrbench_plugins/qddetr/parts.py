"""The saliency loss of QD-DETR, and the reader of its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from amrbench.slots.checkpoint import CheckpointPart
from amrbench.slots.losses import LossPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.slots.checkpoint import ForeignModel
    from amrbench.types import BuildContext, Checkpoint


class NegativePairs(LossPart):
    """Saliency: high inside the moment, low outside and under the text of the next query (QD-DETR).

    The next query counts as a mismatch even if it is of the same recording, where the loss `saliency` of
    CG-DETR leaves it out. A batch of one query is its own mismatch.
    """

    use = "negative-pairs"
    compares_queries = True  # The mismatched text is that of the next query.
    requires = frozenset({"saliency"})
    views = {"mismatched-text": frozenset({"saliency"})}  # noqa: RUF012

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.qddetr.saliency_loss import NegativePairLoss

        return NegativePairLoss(self.weight)


class LighthouseQdDetr(CheckpointPart):
    """A QD-DETR checkpoint of the Lighthouse library (`best.ckpt`)."""

    use = "qd_detr"

    @override
    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        from amrbench_plugins.qddetr.lighthouse import foreign_model

        return foreign_model(checkpoint)
