"""The configuration of a QD-DETR checkpoint of the reference library (Lighthouse)."""

from __future__ import annotations

from dataclasses import dataclass

from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.reference_options import BaseConfig, OptionReader, ReferenceModel

QDDETR = ReferenceModel(
    option="qd_detr",
    title="QD-DETR",
    tensor="transformer.t2v_encoder.layers.0.self_attn.in_proj_weight",
    rows={},
    # The reference has no option of its own for them: there are as many as layers of the encoder.
    layers={"cross_layers": ("enc_layers", "transformer.t2v_encoder")},
)


@dataclass(frozen=True, kw_only=True)
class Config(BaseConfig):
    """The configuration of a QD-DETR."""

    cross_layers: int


def config_of(checkpoint: Checkpoint) -> Config:
    """Return the configuration of a reference QD-DETR checkpoint.

    Raises:
        CheckpointError: A tensor or option is missing, has the wrong shape or type, or contradicts
            another one.
    """
    return Config(**OptionReader(checkpoint, QDDETR).common())
