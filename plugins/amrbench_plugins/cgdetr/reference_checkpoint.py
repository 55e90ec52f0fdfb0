"""The configuration of a CG-DETR checkpoint of the reference library (Lighthouse)."""

from __future__ import annotations

from dataclasses import dataclass

from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.reference_options import BaseConfig, OptionReader, ReferenceModel

CGDETR = ReferenceModel(
    option="cg_detr",
    title="CG-DETR",
    tensor="dummy_rep_token",
    rows={
        "dummies": ("num_dummies", "dummy_rep_token"),
        "prompts": ("total_prompts", "global_rep_token"),
    },
    layers={
        "cross_layers": ("t2v_layers", "transformer.t2v_encoder"),
        "dummy_layers": ("dummy_layers", "txtproj_encoder"),
        "sentence_layers": ("sent_layers", "scls_encoder"),
        "moment_layers": ("moment_layers", "transformer.mcls_encoder"),
    },
)


@dataclass(frozen=True, kw_only=True)
class Config(BaseConfig):
    """The configuration of a CG-DETR."""

    cross_layers: int
    dummy_layers: int
    sentence_layers: int
    moment_layers: int
    dummies: int
    prompts: int
    prompts_used: int


def config_of(checkpoint: Checkpoint) -> Config:
    """Return the configuration of a reference CG-DETR checkpoint.

    Raises:
        CheckpointError: A tensor or option is missing, has the wrong shape or type, or contradicts
            another one.
    """
    reader = OptionReader(checkpoint, CGDETR)
    config = Config(**reader.common(), prompts_used=reader.count("num_prompts"))
    if config.prompts_used > config.prompts:
        raise reader.error(
            f"option 'num_prompts' is {config.prompts_used}, but there are only {config.prompts} prompts "
            "('global_rep_token')"
        )
    return config
