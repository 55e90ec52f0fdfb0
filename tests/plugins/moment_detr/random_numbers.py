"""Random rows, and the random numbers behind the masks of long sequences."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench_plugins.moment_detr.masks import LEVELS


def rows(*shape: int) -> Tensor:
    """Normal numbers of a leaf of the graph, in float64."""
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def numbers(seed: int, sizes: list[int]) -> list[NDArray[np.float64]]:
    """The numbers in [0, 1) of the masks that follow a seed, 16 bits each."""
    torch.manual_seed(seed)
    generator = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    words = [generator.random_raw((size + 3) // 4) for size in sizes]
    return [
        (drawn.view(np.int16)[:size].astype(float) + LEVELS // 2) / LEVELS
        for drawn, size in zip(words, sizes, strict=True)
    ]
