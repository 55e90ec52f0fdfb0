"""A model without a decoder, its loss on each frame, and the matcher that matches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field
from typing_extensions import override

from amrbench.part import budgeted
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.slots.matcher import Matcher
    from amrbench.types import BuildContext


class DualEncoder(ModelPart):
    """The similarity of each audio frame to the sentence; no decoder.

    A small network for each side maps into one space, in which the similarity is a cosine, as in CLAP for
    whole clips (Elizalde et al. 2023). Trained with `frame-bce` and read by `window-search`, it is the
    baseline that a detector has to beat: it compares each frame with the sentence, and no frame with others.
    """

    use = "dual-encoder"
    version = 2  # it has no search of its own any more

    width: int = budgeted(256, "width", ge=1, le=4096, description="width of the shared space")
    hidden: int = Field(256, ge=1, le=4096, description="width of the hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the hidden layers")

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"saliency": "B T"}

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.dual_encoder.model import DualEncoderModel, encoder

        side = partial(
            encoder,
            hidden=self.hidden,
            width=self.width,
            input_dropout=context.input_dropout,
            dropout=self.dropout,
        )
        with context.drawing():
            return DualEncoderModel(
                audio=side(context.features.audio),
                text=side(context.features.text),
            )


class FrameBce(LossPart):
    """Cross entropy of the saliency of each frame, as log odds; both classes weigh the same in a recording.

    A recording with frames of one class alone counts with the mean of that class.
    """

    use = "frame-bce"
    requires = frozenset({"saliency"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.dual_encoder.training import FrameBceLoss

        return FrameBceLoss(self.weight)


class NoMatcher(MatcherPart):
    """No assignment: for models without decoder queries."""

    use = "none"

    @override
    def build(self) -> Matcher:
        from amrbench_plugins.dual_encoder.training import match_nothing

        return match_nothing
