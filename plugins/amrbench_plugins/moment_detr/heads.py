"""The three prediction heads of the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import Decoded, Head, Memory
from amrbench_plugins.moment_detr.layers import Perceptron


class SpanHead(Head, nn.Module):
    """Moves the anchor of each query to its span."""

    def __init__(self, perceptron: Perceptron, eps: float) -> None:
        super().__init__()
        self.perceptron = perceptron
        self.eps = eps

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        shift = self.perceptron(decoded.hidden)
        return {"spans": (shift + inverse_sigmoid(decoded.anchors, self.eps)).sigmoid()}


class ForegroundHead(Head, nn.Module):
    """Classifies each query: moment or none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    @override
    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        logits = self.linear(decoded.hidden)  # class 0 is the moment
        return {"logits": logits, "scores": logits.softmax(-1)[..., 0]}


class SaliencyHead(Head, nn.Module):
    """Compares each frame with the token of the whole recording."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_frames = nn.Linear(width, width)
        self.of_token = nn.Linear(width, width)

    @override
    def of_memory(self, memory: Memory) -> Mapping[str, Tensor]:
        token = self.of_token(memory.token)[..., None]
        return {"saliency": (self.of_frames(memory.frames) @ token)[..., 0] / math.sqrt(token.shape[1])}
