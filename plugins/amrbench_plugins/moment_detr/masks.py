"""Random masks for dropout of long sequences on CPUs: 16 random bits for each element, one bit to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 1 << 16


def dropped_levels(p: float) -> int:
    """Return how many of the `LEVELS` values of 16 random bits mean that an element is dropped."""
    return min(round(p * LEVELS), LEVELS - 1)


def zero_dropped(x: Tensor, kept: NDArray[np.bool_], out: Tensor) -> Tensor:
    """Write x into `out` with zeros where it is not kept; both may be the same tensor. No gradient.

    NumPy multiplies floats by booleans in a quarter of torch's time.
    """
    np.multiply(x.numpy(), kept, out=out.numpy())
    return out


@dataclass(frozen=True)
class Mask:
    """Which elements of a tensor are kept, one bit for each, so that it can wait for the backward pass."""

    bits: NDArray[np.uint8]
    shape: Sequence[int]

    def apply(self, x: Tensor, out: Tensor) -> Tensor:
        """Write x into `out` with zeros where it is dropped; both may be the same tensor. No gradient."""
        kept = np.unpackbits(self.bits, count=math.prod(self.shape)).view(np.bool_).reshape(self.shape)
        return zero_dropped(x, kept, out)


class Masks:
    """Makes masks; the state of torch's generator decides them.

    NumPy draws the bits in half of torch's time.
    """

    def __init__(self, p: float) -> None:
        """`p` is the probability of dropping an element."""
        self._dropped = dropped_levels(p)
        self._generator = np.random.SFC64(int(torch.randint(2**63 - 1, ())))

    @property
    def scale(self) -> float:
        """Return what kept elements are multiplied by."""
        return LEVELS / (LEVELS - self._dropped)

    def draw(self, shape: Sequence[int]) -> Mask:
        """Return the next mask."""
        count = math.prod(shape)
        drawn = self._generator.random_raw((count + 3) // 4).view(np.int16)[:count]
        return Mask(np.packbits(drawn >= self._dropped - LEVELS // 2), shape)
