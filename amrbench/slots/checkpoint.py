"""Readers of checkpoints of other programs."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import nn

    from amrbench.slots.model import Limits
    from amrbench.slots.readout import Readout
    from amrbench.types import Checkpoint, FeatureWidths, Ranking


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A model with weights of another program, and the input it was trained with."""

    model: nn.Module
    """A `MomentModel`."""
    audio: str
    """Name of the audio encoder, and of the folder of its features."""
    text: str
    """Name of the text encoder."""
    widths: FeatureWidths
    hop: float
    """Seconds between two audio rows."""
    limits: Limits
    provides: frozenset[str]
    """Names of the tensors of the model that read-outs may read."""
    readout: Readout
    """How that program makes moments of them."""
    ranking: tuple[Ranking, ...]
    """The steps of that program from raw moments to its predictions."""


class CheckpointPart(Part):
    """A kind of foreign checkpoint; `use` is the value of its option `model_name`."""

    slot = "checkpoint"
    builds = ForeignModel

    @abstractmethod
    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        """Return the model with its weights.

        Raises:
            CheckpointError: The checkpoint does not fit this kind of model.
        """
