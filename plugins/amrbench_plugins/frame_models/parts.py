"""Models without a decoder, their loss on each frame, and the matcher that matches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from amrbench.part import budgeted, problem, unique
from amrbench.slots.blocks import BlockContext, HeadPart, build_at, owners_of
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
        from amrbench_plugins.frame_models.dual_encoder import DualEncoderModel, encoder

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


_OF_FRAME_NETWORK: Mapping[str, str] = {"saliency": "B T", "memory": "B T D", "memory.token": "B D"}


class FrameNetwork(ModelPart):
    """Compare each frame with the sentence and, by dilated convolutions, with its neighbours; no decoder.

    The dual encoder with temporal context: to its similarity, a residual network over frames adds what the
    neighbours say. Layer k looks 2^k frames far, as in temporal convolutional networks (Bai et al. 2018).
    Moments are read out of the frames.
    """

    use = "frame-network"
    example: ClassVar[Mapping[str, Any]] = {"width": 16, "layers": 2}

    width: int = budgeted(256, "width", ge=2, le=4096, description="features of a frame inside the model")
    layers: int = budgeted(
        4, "layers", ge=1, le=10, description="residual layers; each looks twice as far as the one before"
    )
    kernel: Literal[3, 5, 7] = Field(3, description="frames that a layer compares")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the hidden layers")
    heads: Annotated[tuple[HeadPart, ...], AfterValidator(unique)] = Field(
        (), description="further predictions from the frames"
    )

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        provided = dict(_OF_FRAME_NETWORK)
        for head in self.heads:
            provided |= head.provides
        return provided

    @model_validator(mode="after")
    def _heads_read_frames_alone(self) -> FrameNetwork:
        for head in self.heads:
            for name, axes in sorted(head.provides.items()):
                if "Q" in axes.split():
                    raise problem(
                        f"heads: {head.use!r} provides {name!r} of decoder queries ({axes}), but this model "
                        "has no decoder."
                    )
        owners_of(self.heads, dict.fromkeys(_OF_FRAME_NETWORK, "the model"))
        return self

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from torch import nn

        from amrbench_plugins.frame_models.dual_encoder import encoder
        from amrbench_plugins.frame_models.frame_network import FrameConvolutions, FrameNetworkModel, Gelu
        from amrbench_plugins.moment_detr.layers import keep_weights

        width = self.width
        side = partial(
            encoder,
            hidden=width,
            width=width,
            input_dropout=context.input_dropout,
            dropout=self.dropout,
        )
        blocks = BlockContext(
            width=width,
            attention_heads=1,
            feedforward=width,
            dropout=self.dropout,
            activation=Gelu(),
            initialise=keep_weights,
            build=context,
        )
        heads = {head.use: build_at(head, f"heads.{head.use}", blocks) for head in self.heads}
        with context.drawing():
            return FrameNetworkModel(
                audio=side(context.features.audio),
                text=side(context.features.text),
                convolutions=FrameConvolutions(
                    width, layers=self.layers, kernel=self.kernel, dropout=self.dropout
                ),
                heads=nn.ModuleDict(heads),
            )


class FrameBce(LossPart):
    """Cross entropy of the saliency of each frame, as log odds; both classes weigh the same in a recording.

    A recording with frames of one class alone counts with the mean of that class.
    """

    use = "frame-bce"
    requires = frozenset({"saliency"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.frame_models.training import FrameBceLoss

        return FrameBceLoss(self.weight)


class NoMatcher(MatcherPart):
    """No assignment: for models without decoder queries."""

    use = "none"

    @override
    def build(self) -> Matcher:
        from amrbench_plugins.frame_models.training import match_nothing

        return match_nothing
