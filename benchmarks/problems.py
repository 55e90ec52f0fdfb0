"""Batches of the sizes of the published data, drawn with a fixed seed, and weights of the full model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from amrbench.testing import other_device
from amrbench.types import Batch, Target
from amrbench_plugins.simulated.marginals import CASTELLA, LEVELS
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
def problem(batch: int, frames: int, lengths: tuple[int, ...] = ()) -> Problem:
    """Draw recordings of so many frames, or of these lengths padded to so many, each with one window."""
    torch.manual_seed(0)
    size = torch.tensor(lengths or (frames,) * batch)[:, None]
    start = torch.arange(frames) / size
    real = torch.arange(frames) < size
    labels = torch.zeros(batch, frames)
    labels[:, 5:15] = 1
    inputs = Inputs(
        text=nn.functional.normalize(torch.randn(batch, WORDS, WIDTH), dim=-1),
        text_mask=torch.arange(WORDS) < torch.randint(3, WORDS + 1, (batch, 1)),
        temporal=torch.stack([start, start + 1 / size], -1) * real[..., None],
        audio=nn.functional.normalize(torch.randn(batch, frames, WIDTH), dim=-1) * real[..., None],
        audio_mask=real,
        recordings=[f"v{row}" for row in range(batch)],
    )
    spans = [torch.tensor([[10 / length, 10 / length]]) for length in size.flatten().tolist()]
    pairs = torch.tensor([[6, 9]]).expand(batch, -1)
    return Problem(inputs, Targets(spans, labels, pairs, pairs + 20))


def castella_lengths(batch: int) -> tuple[int, ...]:
    """Return seconds of recordings at equal steps of the distribution of CASTELLA train."""
    levels = (np.arange(batch) + 0.5) / batch
    return tuple(np.interp(levels, LEVELS, CASTELLA.splits["train"].durations).astype(int).tolist())


def on_meta(batch: int, frames: int) -> tuple[Batch, Target]:
    """Return the same sizes on the device "meta", without numbers."""
    given = problem(batch, frames)
    return other_device.on_meta(given.batch), other_device.on_meta(given.target)


@cache
def reference_weights() -> Mapping[str, Tensor]:
    """Draw weights of a CG-DETR of full size, by the names of the reference."""
    torch.manual_seed(1)
    return CGDETR(FULL_CONFIG).state_dict()
