"""Prediction heads for span, class and IoU, with shared features or separate (report, section 2.6).

From the report: a third head that predicts the intersection over union (IoU) of each span with the truth, and
features shared by all heads. From the public baseline: two hidden layers, those of its span head. From the
usual practice of focal losses (Lin et al. 2017, section 3.3): a class head of one logit that starts at a
probability of 0.01. Our choice: the span head starts at zero, so that the first predictions are the anchors;
moments are ranked by the class alone, since the report names ranking by more as future work. In any case the
matcher reads the class alone, as in the public baseline.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from typing_extensions import override

from amrbench.functional.spans import inverse_sigmoid
from amrbench.part import problem, unique
from amrbench.slots.blocks import Activation, BlockContext, Decoded, Head, HeadPart
from amrbench_plugins.moment_detr.layers import Perceptron

FIRST_PROBABILITY = 0.01


def class_linear(width: int) -> nn.Linear:
    """Return a map to one logit whose sigmoid is near 0.01 at first."""
    linear = nn.Linear(width, 1)
    nn.init.constant_(linear.bias, math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))
    return linear


def probability(logits: Tensor) -> Tensor:
    """Return (...), the sigmoid of logits (..., 1), computed in float32."""
    return logsigmoid(logits.float()).exp()[..., 0].to(logits.dtype)


def mean_probability(logits: Tensor, iou_logits: Tensor, iou_weight: float) -> Tensor:
    """Return (...) of logits (..., 1): the weighted geometric mean of class probability and IoU."""
    mean = (1 - iou_weight) * logsigmoid(logits.float()) + iou_weight * logsigmoid(iou_logits.float())
    return mean.exp()[..., 0].to(logits.dtype)


Output = Literal["spans", "class", "iou"]
PROVIDED: Mapping[Output, Mapping[str, str]] = {
    "spans": {"spans": "N B Q 2"},
    "class": {"logits": "N B Q 1", "scores": "N B Q"},
    "iou": {"iou_logits": "N B Q 1"},
}


class TaskAlignedHead(Head, nn.Module):
    """Linear maps over one perceptron, one for each output."""

    def __init__(
        self,
        width: int,
        activation: Activation,
        *,
        outputs: Collection[Output],
        iou_share: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.trunk = Perceptron((width, width, width), activation.mlp)
        self.activation = activation.mlp()
        # All are drawn, so that leaving one out changes no first weight of the others.
        span, of_class, iou = nn.Linear(width, 2), class_linear(width), nn.Linear(width, 1)
        nn.init.zeros_(span.weight)
        nn.init.zeros_(span.bias)
        self.span = span if "spans" in outputs else None
        self.of_class = of_class if "class" in outputs else None
        self.iou = iou if "iou" in outputs else None
        self.iou_share = iou_share
        self.eps = eps

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        shared = self.activation(self.trunk(decoded.hidden))
        # The order of these maps decides the order in which gradients are added up, and so their last bits.
        tensors: dict[str, Tensor] = {}
        if self.of_class is not None:
            tensors["logits"] = self.of_class(shared)
            tensors["scores"] = probability(tensors["logits"])
        if self.iou is not None:
            tensors["iou_logits"] = self.iou(shared)
        if self.span is not None:
            tensors["spans"] = (self.span(shared) + inverse_sigmoid(decoded.anchors, self.eps)).sigmoid()
        if self.iou_share:
            tensors["ranking_scores"] = mean_probability(
                tensors["logits"], tensors["iou_logits"], self.iou_share
            )
        return tensors


class TaskAligned(HeadPart):
    """Span, class (one logit) and IoU of each query from shared features, for all decoder layers.

    Outputs that it leaves out may come from separate heads: `spans`, `confidence`, `iou`.
    """

    use = "task-aligned"
    version = 2
    outputs: Annotated[tuple[Output, ...], AfterValidator(unique)] = Field(
        ("spans", "class", "iou"), min_length=1, description="what is predicted from the shared features"
    )
    iou_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="exponent of the predicted IoU in the ranking of moments; 0 ranks by class alone",
    )

    @model_validator(mode="after")
    def _ranks_by_what_it_predicts(self) -> TaskAligned:
        missing = [output for output in ("class", "iou") if output not in self.outputs]
        if self.iou_share and missing:
            raise problem(
                f"iou_share is {self.iou_share:g}, but outputs has no {missing[0]!r} to rank by; "
                "add it, or leave iou_share at 0."
            )
        return self

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        provided = {"ranking_scores": "N B Q"} if self.iou_share else {}
        for output in self.outputs:
            provided |= PROVIDED[output]
        return provided

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return TaskAlignedHead(
            context.width, context.activation, outputs=self.outputs, iou_share=self.iou_share, eps=context.eps
        )


class ConfidenceHead(Head, nn.Module):
    """Predicts with one logit whether a query is a moment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = class_linear(width)

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        logits = self.linear(decoded.hidden)
        return {"logits": logits, "scores": logits.sigmoid()[..., 0]}


class Confidence(HeadPart):
    """Moment or none, with one logit from a separate linear map; the score is its sigmoid."""

    use = "confidence"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return PROVIDED["class"]

    @override
    def build(self, context: BlockContext) -> nn.Module:
        return ConfidenceHead(context.width)


class IouHead(Head, nn.Module):
    """Predicts the IoU of each span with the truth."""

    def __init__(self, perceptron: Perceptron) -> None:
        super().__init__()
        self.perceptron = perceptron

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        return {"iou_logits": self.perceptron(decoded.hidden)}


class Iou(HeadPart):
    """Predicted IoU of each span, from a separate perceptron."""

    use = "iou"

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return PROVIDED["iou"]

    @override
    def build(self, context: BlockContext) -> nn.Module:
        width = context.width
        return IouHead(Perceptron((width, width, width, 1), context.activation.mlp))
