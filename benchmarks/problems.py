"""Batches of the sizes of the published data, drawn with a fixed seed, and weights of the full model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from amrbench.testing import other_device
from amrbench.types import Batch, Target
from tests.oracle.cgdetr import CGDETR, Inputs
from tests.oracle.cgdetr_cases import FULL_CONFIG
from tests.oracle.cgdetr_loss import Targets
from tests.plugins.cgdetr import golden

WORDS, WIDTH = 12, 768
QUICK = [(4, 60)]
FULL = [(32, 60), (32, 300)]
"""Queries of a batch, and frames of each recording."""


@dataclass(frozen=True)
class Problem:
    """A batch and its ground truth, as the plain module takes them and as ours does."""

    inputs: Inputs
    targets: Targets

    @property
    def batch(self) -> Batch:
        """Return the inputs of our model."""
        return golden.batch_of(self.inputs)

    @property
    def target(self) -> Target:
        """Return the ground truth for our losses."""
        return golden.target_of(self.targets)


@cache
def problem(batch: int, frames: int) -> Problem:
    """Draw recordings of equal length, each with one window."""
    torch.manual_seed(0)
    start = torch.arange(frames) / frames
    temporal = torch.stack([start, start + 1 / frames], -1).expand(batch, -1, -1)
    labels = torch.zeros(batch, frames)
    labels[:, 5:15] = 1
    inputs = Inputs(
        text=nn.functional.normalize(torch.randn(batch, WORDS, WIDTH), dim=-1),
        text_mask=torch.arange(WORDS) < torch.randint(3, WORDS + 1, (batch, 1)),
        temporal=temporal,
        audio=nn.functional.normalize(torch.randn(batch, frames, WIDTH), dim=-1),
        audio_mask=torch.ones(batch, frames, dtype=torch.bool),
        recordings=[f"v{row}" for row in range(batch)],
    )
    spans = [torch.tensor([[10 / frames, 10 / frames]]) for _ in range(batch)]
    pairs = torch.tensor([[6, 9]]).expand(batch, -1)
    return Problem(inputs, Targets(spans, labels, pairs, pairs + 20))


def on_meta(batch: int, frames: int) -> tuple[Batch, Target]:
    """Return the same sizes on the device "meta", without numbers."""
    given = problem(batch, frames)
    return other_device.on_meta(given.batch), other_device.on_meta(given.target)


@cache
def reference_weights() -> Mapping[str, Tensor]:
    """Draw weights of a CG-DETR of full size, by the names of the reference."""
    torch.manual_seed(1)
    return CGDETR(FULL_CONFIG).state_dict()
