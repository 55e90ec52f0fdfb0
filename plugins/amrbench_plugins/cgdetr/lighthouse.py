"""Checkpoints of CG-DETR as the Lighthouse library writes them."""

from __future__ import annotations

from amrbench.errors import CheckpointError
from amrbench.slots.checkpoint import CheckpointPart
from amrbench.types import Checkpoint, FeatureWidths, ForeignModel, Limits
from amrbench_plugins.cgdetr.reference_checkpoint import last_second, sizes_of
from amrbench_plugins.cgdetr.reference_weights import load_reference
from amrbench_plugins.ranking import Clip, Round


class LighthouseCgDetr(CheckpointPart):
    """A CG-DETR checkpoint of the Lighthouse library (`best.ckpt`)."""

    use = "cg_detr"

    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        """Return the model with its weights, or raise CheckpointError."""
        sizes = sizes_of(checkpoint)
        return ForeignModel(
            model=load_reference(checkpoint).model,
            audio=_encoder(checkpoint, "a_feat_types"),
            text=_encoder(checkpoint, "t_feat_type"),
            widths=FeatureWidths(sizes.audio_width, sizes.text_width),
            hop=sizes.clip_length,
            limits=Limits(frames=sizes.max_clips, words=sizes.max_words),
            ranking=(Clip(to=last_second(checkpoint)).build(), Round(to=sizes.clip_length).build()),
        )


def _encoder(checkpoint: Checkpoint, option: str) -> str:
    name = checkpoint.options.get(option)
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{checkpoint.path}: option {option!r} is {name!r}, not the name of an encoder; "
            "without it nobody knows which features the model was trained with."
        )
    return name
