"""Readers of checkpoints that other programs wrote."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from amrbench.part import Part

if TYPE_CHECKING:
    from amrbench.types import Checkpoint, ForeignModel


class CheckpointPart(Part):
    """A kind of foreign checkpoint; `use` is the name that its option `model_name` gives."""

    slot = "checkpoint"

    @abstractmethod
    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        """Return the model with its weights.

        Raises:
            CheckpointError: The checkpoint does not fit this kind of model.
        """
