"""Prediction heads for span, class and IoU, sharing what they read or not (report, section 2.6).

From the report: a third head that predicts the intersection over union (IoU) of each span with the truth, and
features shared by all heads. From the public baseline: two hidden layers, those of its span head. From the
usual practice of focal losses (Lin et al. 2017, section 3.3): a class head of one logit that starts at a
probability of 0.01. Our choice: the span head starts at zero, so that the first predictions are the anchors;
moments are ranked by the class alone, for the report names ranking by more as future work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from amrbench.spans import inverse_sigmoid
from amrbench_plugins.moment_detr.layers import Perceptron
from amrbench_plugins.moment_detr.slots import Activation, Decoded, Head, HeadPart, Sizes

FIRST_PROBABILITY = 0.01


def class_linear(width: int) -> nn.Linear:
    """Return a map to one logit whose sigmoid is near 0.01 at first."""
    linear = nn.Linear(width, 1)
    nn.init.constant_(linear.bias, math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))
    return linear


def ranked(logits: Tensor, iou_logits: Tensor, share: float) -> Tensor:
    """Return scores (...) of logits (..., 1): the weighted geometric mean of class probability and IoU."""
    mean = (1 - share) * logsigmoid(logits.float()) + share * logsigmoid(iou_logits.float())
    return mean.exp()[..., 0].to(logits.dtype)


class TaskAlignedHead(Head):
    """Three linear maps over one perceptron."""

    def __init__(self, width: int, activation: Activation, *, iou_share: float, eps: float) -> None:
        super().__init__()
        self.trunk = Perceptron((width, width, width), activation.mlp)
        self.activation = activation.mlp()
        self.span = nn.Linear(width, 2)
        self.of_class = class_linear(width)
        self.iou = nn.Linear(width, 1)
        self.iou_share = iou_share
        self.eps = eps
        nn.init.zeros_(self.span.weight)
        nn.init.zeros_(self.span.bias)

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return "spans" (N, B, Q, 2), "logits" and "iou_logits" (N, B, Q, 1), and "scores" (N, B, Q)."""
        shared = self.activation(self.trunk(decoded.hidden))
        logits, iou_logits = self.of_class(shared), self.iou(shared)
        return {
            "spans": (self.span(shared) + inverse_sigmoid(decoded.anchors, self.eps)).sigmoid(),
            "logits": logits,
            "iou_logits": iou_logits,
            "scores": ranked(logits, iou_logits, self.iou_share),
        }


class TaskAligned(HeadPart):
    """Span, class (one logit) and IoU of each query from shared features, for all decoder layers."""

    use = "task-aligned"
    iou_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="exponent of the predicted IoU in the score; 0 ranks by class alone",
    )

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"spans", "scores", "logits", "iou_logits"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        return TaskAlignedHead(sizes.width, sizes.activation, iou_share=self.iou_share, eps=sizes.eps)


class ConfidenceHead(Head):
    """Says for each query with one logit whether it found a moment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = class_linear(width)

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return "logits" (N, B, Q, 1) and "scores" (N, B, Q)."""
        logits = self.linear(decoded.hidden)
        return {"logits": logits, "scores": logits.sigmoid()[..., 0]}


class Confidence(HeadPart):
    """Moment or none with one logit that shares nothing; the score is its sigmoid."""

    use = "confidence"

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"logits", "scores"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        return ConfidenceHead(sizes.width)


class IouHead(Head):
    """Predicts the IoU of each span with the truth."""

    def __init__(self, perceptron: Perceptron) -> None:
        super().__init__()
        self.perceptron = perceptron

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return "iou_logits" (N, B, Q, 1)."""
        return {"iou_logits": self.perceptron(decoded.hidden)}


class Iou(HeadPart):
    """Predicted IoU of each span from a perceptron that shares nothing."""

    use = "iou"

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"iou_logits"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        width = sizes.width
        return IouHead(Perceptron((width, width, width, 1), sizes.activation.mlp))
