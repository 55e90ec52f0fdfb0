"""The three prediction heads of the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from amrbench.spans import inverse_sigmoid
from amrbench_plugins.moment_detr.layers import Perceptron
from amrbench_plugins.moment_detr.slots import Decoded, Head, HeadPart, Memory, Sizes


class SpanHead(Head):
    """Moves the anchor of each query to its span."""

    def __init__(self, perceptron: Perceptron, eps: float) -> None:
        super().__init__()
        self.perceptron = perceptron
        self.eps = eps

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return "spans" (N, B, Q, 2)."""
        shift = self.perceptron(decoded.hidden)
        return {"spans": (shift + inverse_sigmoid(decoded.anchors, self.eps)).sigmoid()}


class Spans(HeadPart):
    """A perceptron of three layers that corrects the anchor in logit space, one for all decoder layers."""

    use = "spans"

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"spans"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        width = sizes.width
        return SpanHead(Perceptron((width, width, width, 2), sizes.activation.mlp), sizes.eps)


class ForegroundHead(Head):
    """Says for each query whether it found a moment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return "logits" (N, B, Q, 2), moment first, and "scores" (N, B, Q)."""
        logits = self.linear(decoded.hidden)
        return {"logits": logits, "scores": logits.softmax(-1)[..., 0]}


class Foreground(HeadPart):
    """Two classes for each query, moment or none; the score is the share of the first."""

    use = "foreground"

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"logits", "scores"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        return ForegroundHead(sizes.width)


class SaliencyHead(Head):
    """Compares each frame with the token of the whole recording."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_frames = nn.Linear(width, width)
        self.of_token = nn.Linear(width, width)

    def of_memory(self, memory: Memory) -> Mapping[str, Tensor]:
        """Return "saliency" (B, T)."""
        token = self.of_token(memory.token)[..., None]
        return {"saliency": (self.of_frames(memory.frames) @ token)[..., 0] / math.sqrt(token.shape[1])}


class Saliency(HeadPart):
    """How much each frame belongs to what the sentence says."""

    use = "saliency"

    @property
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""
        return frozenset({"saliency"})

    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
        return SaliencyHead(sizes.width)
