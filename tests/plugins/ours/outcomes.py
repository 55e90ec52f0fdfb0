"""Made-up outcomes of a model and a matcher, for the losses."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins.cgdetr.matcher import HungarianMatcher

CONTEXT = BuildContext(FeatureWidths(12, 10))


def truth(spans: list[list[list[float]]]) -> Target:
    """Targets with these spans; the losses read nothing else of them."""
    most = max(map(len, spans))
    padded = [[*row, *[[0.0, 0.0]] * (most - len(row))] for row in spans]
    mask = [[True] * len(row) + [False] * (most - len(row)) for row in spans]
    zeros = torch.zeros(len(spans), 1)
    return Target(torch.tensor(padded), torch.tensor(mask), zeros > 0, zeros.long(), zeros.long())


def outcome_of(tensors: dict[str, Tensor], target: Target, matched: Tensor) -> Outcome:
    return Outcome(cast("Batch", None), target, tensors, {}, matched)


def drawn(
    queries: int = 7, windows: tuple[int, ...] = (2, 1, 3), *, layers: int = 2, seed: int = 0
) -> Outcome:
    """A made-up outcome whose matches come from the matcher."""
    generator = torch.Generator().manual_seed(seed)
    spans = torch.rand(layers, len(windows), queries, 2, generator=generator) * 0.4 + 0.2
    logits = torch.randn(layers, len(windows), queries, 1, generator=generator)
    target = truth([(torch.rand(count, 2, generator=generator) * 0.4 + 0.2).tolist() for count in windows])
    tensors = {"spans": spans, "scores": logits[..., 0].sigmoid()}
    matched = HungarianMatcher(span=10, giou=1, score=4)(tensors, target)
    leaves = {name: leaf.requires_grad_() for name, leaf in {"spans": spans, "logits": logits}.items()}
    return outcome_of({**leaves, "iou_logits": logits}, target, matched)


def overlap(a: list[float], b: list[float]) -> float:
    """IoU of two spans, one number at a time."""
    (low_a, high_a), (low_b, high_b) = ((c - w / 2, c + w / 2) for c, w in (a, b))
    met = max(0.0, min(high_a, high_b) - max(low_a, low_b))
    return met / (high_a - low_a + high_b - low_b - met)
