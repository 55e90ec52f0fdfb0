"""Prediction heads for span, class and IoU, with shared features or separate (report, section 2.6).

From the report: a third head that predicts the intersection over union (IoU) of each span with the truth, and
features shared by all heads. From the public baseline: two hidden layers, those of its span head. From the
usual practice of focal losses (Lin et al. 2017, section 3.3): a class head of one logit that starts at a
probability of 0.01. Our choice: the map to spans starts at zero, so that the first predictions are anchors;
moments are ranked by the class alone, since the report names ranking by more as future work. In any case the
matcher reads the class alone, as in the public baseline.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from typing_extensions import override

from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import Activation, Corrections, Decoded, Head
from amrbench_plugins.moment_detr.layers import Perceptron, start_corrections

FIRST_PROBABILITY = 0.01


def class_linear(width: int) -> nn.Linear:
    """Return a map to one logit whose sigmoid is near 0.01 at first."""
    linear = nn.Linear(width, 1)
    nn.init.constant_(linear.bias, math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))
    return linear


def probability(logits: Tensor) -> Tensor:
    """Return (...), the sigmoid of logits (..., 1), computed in float32."""
    return logsigmoid(logits.float()).exp()[..., 0].to(logits.dtype)


class TaskAlignedHead(Head, nn.Module):
    """Linear maps over one perceptron, one for each output."""

    def __init__(
        self,
        width: int,
        activation: Activation,
        *,
        outputs: Collection[str],
        corrections: Corrections,
        eps: float,
    ) -> None:
        """`outputs` are "spans", "class", "iou" or several of them."""
        super().__init__()
        self.trunk = Perceptron((width, width, width), activation.mlp)
        self.activation = activation.mlp()
        # All are drawn, so that leaving one out changes no first weight of the others.
        span, of_class, iou = nn.Linear(width, 2), class_linear(width), nn.Linear(width, 1)
        start_corrections(span, corrections)
        self.span = span if "spans" in outputs else None
        self.of_class = of_class if "class" in outputs else None
        self.iou = iou if "iou" in outputs else None
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
        return tensors


class RankingHead(Head, nn.Module):
    """A head with class and IoU, and the score by which both together rank moments."""

    def __init__(self, around: Head, iou_share: float) -> None:
        super().__init__()
        self.around = around
        self.iou_share = iou_share

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        tensors = self.around.of_queries(decoded)
        of_class, of_iou = (logsigmoid(tensors[name].float()) for name in ("logits", "iou_logits"))
        mean = (1 - self.iou_share) * of_class + self.iou_share * of_iou  # of logarithms: a geometric mean
        return {**tensors, "ranking_scores": mean.exp()[..., 0].to(tensors["logits"].dtype)}


class ConfidenceHead(Head, nn.Module):
    """Predicts with one logit whether a query is a moment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = class_linear(width)

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        logits = self.linear(decoded.hidden)
        return {"logits": logits, "scores": logits.sigmoid()[..., 0]}


class IouHead(Head, nn.Module):
    """Predicts the IoU of each span with the truth."""

    def __init__(self, perceptron: Perceptron) -> None:
        super().__init__()
        self.perceptron = perceptron

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        return {"iou_logits": self.perceptron(decoded.hidden)}
