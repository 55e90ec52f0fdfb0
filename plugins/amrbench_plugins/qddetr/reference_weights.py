"""QD-DETR weights of the reference library, loaded into our modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from amrbench.registry import Registry
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins import moment_detr
from amrbench_plugins.cgdetr.reference_weights import copy_weights, shared_options
from amrbench_plugins.moment_detr.model import MomentDetr
from amrbench_plugins.qddetr.reference_checkpoint import QDDETR, Config, config_of


def load_reference(checkpoint: Checkpoint) -> nn.Module:
    """Build the QD-DETR that a reference checkpoint describes, a `MomentModel` in evaluation mode.

    Raises:
        CheckpointError: A tensor is missing, left over, or of the wrong shape.
    """
    model = build_reference(config_of(checkpoint))
    copy_weights(checkpoint, dict(model.named_parameters()), QDDETR.title)
    return model


def build_reference(config: Config) -> nn.Module:
    """Build the model of a configuration with new weights."""
    # A registry of its own: the result must not depend on which plugins are installed.
    registry = Registry.of(*moment_detr.amrbench_parts())
    widths = FeatureWidths(config.audio_width, config.text_width)
    context = BuildContext(widths, input_dropout=config.input_dropout)
    return MomentDetr.model_validate(model_options(config), context=registry).build(context).eval()


def model_options(config: Config) -> dict[str, Any]:
    """Return the options of `moment-detr` for the reference's QD-DETR of a configuration."""
    return {
        **shared_options(config),
        "residual_dropout": "elements",
        "token_types": "none",
        "fusion": {"use": "cross-attention", "layers": config.cross_layers},
        "text_summary": "none",
        "memory_refine": [],
    }
