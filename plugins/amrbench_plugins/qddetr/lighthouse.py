"""Checkpoints of QD-DETR as the Lighthouse library writes them."""

from __future__ import annotations

from amrbench.slots.checkpoint import ForeignModel
from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.lighthouse import as_foreign
from amrbench_plugins.qddetr.reference_checkpoint import config_of
from amrbench_plugins.qddetr.reference_weights import load_reference


def foreign_model(checkpoint: Checkpoint) -> ForeignModel:
    """Return the QD-DETR of a checkpoint, with its weights, inputs and post-processing.

    Raises:
        CheckpointError: A tensor or option is missing or wrong.
    """
    return as_foreign(checkpoint, config_of(checkpoint), load_reference(checkpoint))
