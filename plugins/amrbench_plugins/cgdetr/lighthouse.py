"""Checkpoints as the Lighthouse library writes them, as foreign models."""

from __future__ import annotations

from torch import nn

from amrbench.errors import CheckpointError
from amrbench.slots.checkpoint import ForeignModel
from amrbench.slots.model import Limits
from amrbench.types import Checkpoint, FeatureWidths
from amrbench_plugins.cgdetr.reference_checkpoint import config_of
from amrbench_plugins.cgdetr.reference_options import BaseConfig, last_second
from amrbench_plugins.cgdetr.reference_weights import load_reference
from amrbench_plugins.ranking.parts import Clip, Round
from amrbench_plugins.readouts.decoder import read_decoder


def foreign_model(checkpoint: Checkpoint) -> ForeignModel:
    """Return the CG-DETR of a checkpoint, with its weights, inputs and post-processing.

    Raises:
        CheckpointError: A tensor or option is missing or wrong.
    """
    return as_foreign(checkpoint, config_of(checkpoint), load_reference(checkpoint).model)


def as_foreign(checkpoint: Checkpoint, config: BaseConfig, model: nn.Module) -> ForeignModel:
    """Return a model with the inputs and the post-processing that the options of its checkpoint name.

    Raises:
        CheckpointError: An option is missing or wrong.
    """
    return ForeignModel(
        model=model,
        audio=_encoder(checkpoint, "a_feat_types"),
        text=_encoder(checkpoint, "t_feat_type"),
        widths=FeatureWidths(config.audio_width, config.text_width),
        hop=config.clip_length,
        limits=Limits(frames=config.max_clips, words=config.max_words),
        provides=frozenset({"spans", "scores", "saliency"}),
        readout=read_decoder,
        ranking=(Clip(to=last_second(checkpoint)).build({}), Round(to=config.clip_length).build({})),
    )


def _encoder(checkpoint: Checkpoint, option: str) -> str:
    name = checkpoint.options.get(option)
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{checkpoint.path}: option {option!r} is {name!r}, not the name of an encoder; "
            "without it the features that the model was trained with are unknown. Set the option to the name."
        )
    return name
