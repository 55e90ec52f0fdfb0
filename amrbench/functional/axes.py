"""Tensors with declared axes, e.g. "B T 2": their sizes, their real positions, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Masks = Mapping[str, Tensor]
"""For an axis with padding, such as T, its mask (B, n), True for real positions."""


@dataclass
class AxisSizes:
    """The sizes of axes by letter, and where each was seen first."""

    sizes: dict[str, int]
    seen: dict[str, str] = field(default_factory=dict)

    def fault(self, name: str, shape: Sequence[int], axes: str) -> str:
        """Return how a shape differs from axes, with the axis and a remedy; empty if it does not.

        A letter of unknown size gets that of the first tensor that has it.
        """
        letters, written = axes.split(), f"({', '.join(map(str, shape))})"
        wrong = f"{name!r} has shape {written}, but its axes are {axes!r}"
        if len(letters) != len(shape):
            return f"{wrong}, which are {len(letters)} and not {len(shape)}. {_remedy(axes)}"
        for number, (axis, size) in enumerate(zip(letters, shape, strict=True)):
            if axis.isalpha() and axis not in self.sizes:
                self.sizes[axis], self.seen[axis] = size, name
            expected = self.size(axis)
            if expected is not None and size != expected:
                where = f" as in {self.seen[axis]!r}" if axis in self.seen else ""
                return f"{wrong}: axis {number} is {size}, where {axis} is {expected}{where}. {_remedy(axes)}"
        return ""

    def size(self, axis: str) -> int | None:
        """Return the size of an axis such as T, 2 or S+L; None if a letter is unknown."""
        sizes = [int(one) if one.isdigit() else self.sizes.get(one) for one in axis.split("+")]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def _remedy(axes: str) -> str:
    return f"Return a tensor ({', '.join(axes.split())}), or declare the axes that it has."


def difference(name: str, one: Tensor, other: Tensor, axes: str, *, masks: Masks, within: float) -> str:
    """Return where two tensors differ at real positions; empty if they do not.

    Args:
        name: Of the tensor, for the text.
        one: With these axes.
        other: The same, with more padding at most.
        axes: E.g. "B T 2".
        masks: The real positions of `one`; those of a sum such as S+L are the last.
        within: Largest difference, for numbers up to 1 in size; relative to larger ones.
    """
    letters, one, other = axes.split(), one.detach(), other.detach()
    for dim, axis in enumerate(letters):
        if masks.keys() & set(axis.split("+")) and other.shape[dim] > one.shape[dim]:
            other = other.narrow(dim, 0, one.shape[dim])
    if one.shape != other.shape:
        return f"{name!r} ({axes}): its shape is {tuple(other.shape)} instead of {tuple(one.shape)}"
    if one.dtype != other.dtype:
        return f"{name!r} ({axes}): it is {other.dtype} instead of {one.dtype}"
    gap = _gap(one, other) * real_positions(one, letters, masks)
    if not gap.numel() or float(gap.max()) <= within:
        return ""
    index = [int(at) for at in torch.unravel_index(gap.argmax(), gap.shape)]
    at = ", ".join(f"{axis} {number}" for axis, number in zip(letters, index, strict=True))
    values = f"{other[tuple(index)].item():.6g} instead of {one[tuple(index)].item():.6g}"
    return f"{name!r} ({axes}): it is {values}" + (f" at {at}" if at else "")


def real_positions(tensor: Tensor, letters: Sequence[str], masks: Masks) -> Tensor:
    """Return where a tensor is no padding, as a bool tensor that broadcasts to it."""
    real = torch.ones((1,) * tensor.dim(), dtype=torch.bool)
    for dim, axis in enumerate(letters):
        for letter in masks.keys() & set(axis.split("+")):
            mask = masks[letter]
            if "B" not in letters:
                mask = mask.any(0, keepdim=True)
            mask = torch.nn.functional.pad(mask, (tensor.shape[dim] - mask.shape[1], 0), value=True)
            batch = letters.index("B") if "B" in letters else 0
            shape = [1] * tensor.dim()
            shape[dim], shape[batch] = mask.shape[1], mask.shape[0] if batch != dim else mask.shape[1]
            real = real & (mask if batch <= dim else mask.T).reshape(shape)
    return real


def _gap(one: Tensor, other: Tensor) -> Tensor:
    """Return the difference at each position, relative to numbers above 1; infinite for one NaN."""
    if not one.is_floating_point():
        return (one != other).double()
    one, other = one.double(), other.double()
    gap = (one - other).abs() / one.abs().clamp(min=1)
    return torch.where(one == other, 0.0, gap.nan_to_num(torch.inf, torch.inf))
