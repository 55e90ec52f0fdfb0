"""A model without a decoder that sees each frame in its context."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from amrbench.part import budgeted, problem, unique
from amrbench.slots.blocks import BlockContext, HeadPart, build_at
from amrbench.slots.model import ModelPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import BuildContext


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
        provided = dict(_OWN)
        for head in self.heads:
            provided |= head.provides
        return provided

    @model_validator(mode="after")
    def _heads_read_frames_alone(self) -> FrameNetwork:
        owners = dict.fromkeys(_OWN, "the model")
        for head in self.heads:
            for name, axes in sorted(head.provides.items()):
                if "Q" in axes.split():
                    raise problem(
                        f"heads: {head.use!r} provides {name!r} of decoder queries ({axes}), but this model "
                        "has no decoder."
                    )
                if name in owners:
                    raise problem(f"heads: {head.use!r} and {owners[name]} both provide {name!r}; keep one.")
                owners[name] = repr(head.use)
        return self

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from torch import nn

        from amrbench_plugins.dual_encoder.model import encoder
        from amrbench_plugins.frame_network.network import FrameConvolutions, FrameNetworkModel, Gelu
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


_OWN: Mapping[str, str] = {"saliency": "B T", "memory": "B T D", "memory.token": "B D"}
