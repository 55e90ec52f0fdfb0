"""Prediction heads for span, class and IoU, with shared features or separate (report, section 2.6).

From the report: a third head that predicts the intersection over union (IoU) of each span with the truth, and
features shared by all heads. From the public baseline: two hidden layers, those of its span head. From the
usual practice of focal losses (Lin et al. 2017, section 3.3): a class head of one logit that starts at a
probability of 0.01. From the work whose name the report uses (Feng et al. 2021, TOOD, section 3.1): outputs
read all shared layers. Our choice: they also read the input of these layers; the map to spans starts at zero,
so that the first predictions are anchors; moments are ranked by the class alone, since the report names
ranking by more as future work. In any case the matcher reads the class alone, as in the public baseline. The
form of the shared layers, layers of each output alone and the form of the class are options, since the report
says nothing about them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from typing_extensions import override

from amrbench.functional.matched_pairs import log_odds
from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import Corrections, Decoded, Head
from amrbench_plugins.moment_detr.layers import Perceptron, start_corrections


class Hidden(nn.Module):
    """Hidden layers of one width; none of them leave their input as it is."""

    def __init__(self, width: int, layers: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.activations = nn.ModuleList(activation() for _ in range(layers))
        self.width = width
        """Of the output."""

    def layers(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the input (..., D), and the output of each layer."""
        yield x
        for linear, activation in zip(self.linears, self.activations, strict=True):
            x = self.add(x, activation(linear(x)))
            yield x

    def add(self, x: Tensor, change: Tensor) -> Tensor:
        """Return the output of a layer from its input and its activation."""
        return change

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., width)."""
        *_, last = self.layers(x)
        return last


class ResidualHidden(Hidden):
    """Each layer adds to its input."""

    @override
    def add(self, x: Tensor, change: Tensor) -> Tensor:
        return x + change


class DenseHidden(Hidden):
    """The input and the outputs of all layers, concatenated.

    So an output chooses from which depth it reads, as in the task-aligned head of Feng et al. 2021 (TOOD,
    section 3.1), which weighs the features of its layers for each task.
    """

    @override
    def __init__(self, width: int, layers: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__(width, layers, activation)
        self.width = width * (layers + 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(list(self.layers(x)), dim=-1)


TRUNKS = {"plain": Hidden, "residual": ResidualHidden, "dense": DenseHidden}


def class_map(width: int, logits: int, first_probability: float) -> nn.Linear:
    """Return a map to the logits of the class, which is about as probable as given at first.

    One logit is that of the moment, two are those of moment and none.
    """
    linear = nn.Linear(width, logits)
    nn.init.zeros_(linear.bias)
    nn.init.constant_(linear.bias[:1], math.log(first_probability / (1 - first_probability)))
    return linear


def probability(logits: Tensor) -> Tensor:
    """Return the probability of the moment (...) of one or two logits (..., n), computed in float32."""
    return logsigmoid(log_odds(logits.float())).exp().to(logits.dtype)


class TaskAlignedHead(Head, nn.Module):
    """Linear maps over shared hidden layers, one for each output, perhaps with hidden layers of their own."""

    def __init__(
        self,
        trunk: Hidden,
        own: Callable[[], Hidden],
        class_map: nn.Linear,
        *,
        outputs: Collection[str],
        corrections: Corrections,
        eps: float,
    ) -> None:
        """Take the layers that all outputs share, and what makes those of one output.

        Args:
            trunk: The shared layers.
            own: Makes the layers of one output.
            class_map: Maps features to the logits of the class.
            outputs: "spans", "class", "iou" or several of them.
            corrections: Of the anchors, before training.
            eps: Least distance of spans from 0 and 1 before their logit is taken.
        """
        super().__init__()
        self.trunk = trunk
        # All are drawn, so that leaving one out changes no first weight of the others.
        span, iou = (nn.Linear(class_map.in_features, numbers) for numbers in (2, 1))
        start_corrections(span, corrections)
        own_layers = {output: own() for output in ("spans", "class", "iou")}
        self.own = nn.ModuleDict({f"of_{output}": own_layers[output] for output in outputs})
        self.span = span if "spans" in outputs else None
        self.of_class = class_map if "class" in outputs else None
        self.iou = iou if "iou" in outputs else None
        self.eps = eps

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        shared = self.trunk(decoded.hidden)
        # The order of these maps decides the order in which gradients are added up, and so their last bits.
        tensors: dict[str, Tensor] = {}
        if self.of_class is not None:
            tensors["logits"] = self.of_class(self.own["of_class"](shared))
            tensors["scores"] = probability(tensors["logits"])
        if self.iou is not None:
            tensors["iou_logits"] = self.iou(self.own["of_iou"](shared))
        if self.span is not None:
            shift = self.span(self.own["of_spans"](shared))
            tensors["spans"] = (shift + inverse_sigmoid(decoded.anchors, self.eps)).sigmoid()
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
        odds = (log_odds(tensors[name].float()) for name in ("logits", "iou_logits"))
        of_class, of_iou = (logsigmoid(one) for one in odds)
        mean = (1 - self.iou_share) * of_class + self.iou_share * of_iou  # of logarithms: a geometric mean
        return {**tensors, "ranking_scores": mean.exp().to(tensors["logits"].dtype)}


class ConfidenceHead(Head, nn.Module):
    """Predicts whether a query is a moment."""

    def __init__(self, hidden: Hidden, class_map: nn.Linear) -> None:
        super().__init__()
        self.hidden = hidden
        self.class_map = class_map

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        logits = self.class_map(self.hidden(decoded.hidden))
        return {"logits": logits, "scores": probability(logits)}


class IouHead(Head, nn.Module):
    """Predicts the IoU of each span with the truth."""

    def __init__(self, perceptron: Perceptron) -> None:
        super().__init__()
        self.perceptron = perceptron

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        return {"iou_logits": self.perceptron(decoded.hidden)}
