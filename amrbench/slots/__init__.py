"""The contract with plugins: an abstract part and a protocol for each slot, grouped in files by kind.

The abstract parts can be imported from here: `from amrbench.slots import LossPart`.
"""

from amrbench.slots.blocks import (
    ActivationPart,
    AnchorsPart,
    DecoderPart,
    EncoderPart,
    FusionPart,
    HeadPart,
    NormPart,
    PriorPart,
    QueryPart,
    RefinePart,
    TemporalEmbeddingPart,
)
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.slots.data import AugmentPart, DatasetPart, TargetsPart
from amrbench.slots.executors import ExecutorPart
from amrbench.slots.features import FeaturesPart
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.observers import ObserverPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.slots.soups import SoupPart

__all__ = [
    "ActivationPart",
    "AnchorsPart",
    "AugmentPart",
    "CheckpointPart",
    "DatasetPart",
    "DecoderPart",
    "EncoderPart",
    "ExecutorPart",
    "FeaturesPart",
    "FusionPart",
    "HeadPart",
    "LossPart",
    "MatcherPart",
    "ModelPart",
    "NormPart",
    "ObserverPart",
    "OptimizerPart",
    "PriorPart",
    "QueryPart",
    "RankingPart",
    "ReadoutPart",
    "RefinePart",
    "SchedulePart",
    "SoupPart",
    "TargetsPart",
    "TemporalEmbeddingPart",
]
