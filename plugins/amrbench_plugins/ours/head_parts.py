"""The parts of the prediction heads: section 2.6 of the report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field
from typing_extensions import override

from amrbench.part import unique
from amrbench.slots.blocks import BlockContext, Corrections, HeadPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench_plugins.ours.task_aligned import TaskAlignedHead

Output = Literal["spans", "class", "iou"]
Logits = Annotated[
    Literal[1, 2], Field(description="of the class: one with a sigmoid, or moment and none with a softmax")
]
FirstProbability = Annotated[
    float, Field(gt=0, lt=1, description="about the score of every query before training")
]


def provided(*outputs: Output, logits: int = 1) -> dict[str, str]:
    """Return the axes of the tensors of some outputs, by name."""
    axes: dict[Output, dict[str, str]] = {
        "spans": {"spans": "N B Q 2"},
        "class": {"logits": f"N B Q {logits}", "scores": "N B Q"},
        "iou": {"iou_logits": "N B Q 1"},
    }
    return {name: tensor for output in outputs for name, tensor in axes[output].items()}


class _SharedFeatures(HeadPart):
    """The options of heads that share features."""

    trunk_layers: int = Field(2, ge=0, le=8, description="hidden layers that all outputs share")
    trunk: Literal["plain", "residual", "dense"] = Field(
        "dense",
        description="'plain': outputs read the last of these layers; 'residual': each adds to its input; "
        "'dense': outputs read the input and all of these layers",
    )
    own_layers: int = Field(0, ge=0, le=8, description="further hidden layers of each output")
    logits: Logits = 1
    first_probability: FirstProbability = 0.01
    first_corrections: Corrections = "zero"

    def _head(self, context: BlockContext, outputs: Collection[Output]) -> TaskAlignedHead:
        from amrbench_plugins.ours.task_aligned import TRUNKS, Hidden, TaskAlignedHead, class_map

        activation = context.activation.mlp
        trunk = TRUNKS[self.trunk](context.width, self.trunk_layers, activation)
        return TaskAlignedHead(
            trunk,
            lambda: Hidden(trunk.width, self.own_layers, activation),
            class_map(trunk.width, self.logits, self.first_probability),
            outputs=outputs,
            corrections=self.first_corrections,
            eps=context.eps,
        )


class TaskAligned(_SharedFeatures):
    """Span, class and IoU of each query from shared features, for all decoder layers.

    Outputs that it leaves out may come from separate heads: `spans`, `confidence`, `iou`.
    """

    use = "task-aligned"
    version = 2
    outputs: Annotated[tuple[Output, ...], AfterValidator(unique)] = Field(
        ("spans", "class", "iou"), min_length=1, description="what is predicted from the shared features"
    )

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return provided(*self.outputs, logits=self.logits)

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return self._head(context, self.outputs)


class TaskAlignedRanking(_SharedFeatures):
    """`task-aligned` with all outputs; moments are ranked by class and predicted IoU together."""

    use = "task-aligned-ranking"
    iou_share: float = Field(0.5, gt=0, lt=1, description="exponent of the IoU in their geometric mean")

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {**provided("spans", "class", "iou", logits=self.logits), "ranking_scores": "N B Q"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.task_aligned import RankingHead

        return RankingHead(self._head(context, ("spans", "class", "iou")), self.iou_share)


class Confidence(HeadPart):
    """The class of `task-aligned` from the decoder's queries themselves: moment or none."""

    use = "confidence"
    version = 2  # other names in saved weights
    layers: int = Field(1, ge=1, le=8, description="linear maps; 3 are as deep as the class of task-aligned")
    logits: Logits = 1
    first_probability: FirstProbability = 0.01

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return provided("class", logits=self.logits)

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.ours.task_aligned import ConfidenceHead, Hidden, class_map

        width = context.width
        hidden = Hidden(width, self.layers - 1, context.activation.mlp)
        return ConfidenceHead(hidden, class_map(width, self.logits, self.first_probability))


class Iou(HeadPart):
    """Predicted IoU of each span, from a separate perceptron."""

    use = "iou"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return provided("iou")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.moment_detr.layers import Perceptron
        from amrbench_plugins.ours.task_aligned import IouHead

        width = context.width
        return IouHead(Perceptron((width, width, width, 1), context.activation.mlp))
