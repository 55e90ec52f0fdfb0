"""A model on a small batch: every tensor of it and of its blocks, and comparisons of two such runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.functional.axes import Masks, difference
from amrbench.part import Part
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.small_data import expect, pad_batch, pick_rows
from amrbench.training.block_calls import BlockCall, recorded_calls, refuse_wrong_results
from amrbench.types import Batch, Encoded, Tensors

WithAxes = Mapping[str, tuple[Tensor, str]]
"""Tensors by name, with their axes."""
LEAVE_OUT = "Leave padding out of sums, means, maxima and attention: use the mask."
ALONE = "Compute each sample of the batch from that sample alone."


@dataclass(frozen=True)
class ModelRun:
    """What a model computes for a batch.

    Attributes:
        batch: The input.
        encoded: The result of `encode`.
        decoded: The result of `decode`.
        calls: The calls of the block that is checked.
    """

    batch: Batch
    encoded: Encoded
    decoded: Tensors
    calls: list[BlockCall]

    def tensors(self, part: ModelPart) -> WithAxes:
        """Return what the model provides for the batch itself."""
        provided = {**self.encoded.tensors, **self.decoded}
        return {name: (tensor, part.provides[name]) for name, tensor in provided.items()}

    def view_tensors(self, part: ModelPart) -> WithAxes:
        """Return what it provides for other views, without words: their padding is that of other samples."""
        return {
            f"{name} of the view {view}": (tensor, part.provides[name])
            for view, tensors in self.encoded.views.items()
            for name, tensor in tensors.items()
            if "L" not in part.provides[name]
        }

    @property
    def masks(self) -> dict[str, Tensor]:
        """Return the masks of the axes with padding."""
        return {"T": self.batch.audio_mask, "L": self.batch.text_mask}


@torch.no_grad()
def run_model(
    model: nn.Module, batch: Batch, views: Collection[str] = (), watched: Part | None = None
) -> ModelRun:
    """Return what a model computes, and the calls of the blocks that a part built."""
    moments = cast("MomentModel", model)
    with recorded_calls(model, lambda part: part == watched) as calls:
        try:
            encoded = moments.encode(batch, frozenset(views))
            decoded = dict(moments.decode(encoded))
            tensors = dict(encoded.tensors)  # Some are made on request.
        except Exception:
            refuse_wrong_results(calls)  # What a block returned may be why another one fails.
            raise
        return ModelRun(batch, replace(encoded, tensors=tensors), decoded, calls)


@dataclass(frozen=True)
class Change:
    """A change of a batch after which some rows must have the same numbers.

    Attributes:
        cause: For the message.
        remedy: What to do if they have not, as a sentence.
        batch: The changed batch.
        rows: The rows of the original batch that it has.
    """

    cause: str
    remedy: str
    batch: Batch
    rows: list[int]


def paddings(batch: Batch) -> Iterator[Change]:
    """Yield the batch with more padding."""
    rows = list(range(len(batch.audio)))
    yield Change("extra padding", LEAVE_OUT, pad_batch(batch, frames=9), rows)
    yield Change("extra padding", LEAVE_OUT, pad_batch(batch, words=4), rows)


def changes(batch: Batch) -> Iterator[Change]:
    """Yield the batch with more padding, with its rows in another order, and with one row alone."""
    yield from paddings(batch)
    rows, order = list(range(len(batch.audio))), [2, 0, 3, 1]
    yield Change("the order of the queries", ALONE, pick_rows(batch, order), order)
    for row in (0, 1):  # One of the longest, and the shortest.
        yield Change("the rest of the batch", ALONE, pick_rows(batch, [row]), [row])
    shared = replace(batch, recording=torch.arange(len(rows)))
    yield Change("which queries share a recording", "Only views and losses may read it.", shared, rows)


def expect_same(
    one: WithAxes, other: WithAxes, cause: str, remedy: str, *, masks: Masks, within: float = 1e-5
) -> None:
    """Raise AssertionError where a tensor differs between two runs.

    Args:
        one: The tensors of a run.
        other: The same of another run.
        cause: Who does what, e.g. "model 'm': extra padding".
        remedy: What to do about it, as a sentence.
        masks: The real positions of the first run.
        within: Largest difference.
    """
    for name, (tensor, axes) in one.items():
        differs = difference(name, tensor, other[name][0], axes, masks=masks, within=within)
        expect(not differs, f"{cause} changes {differs}. {remedy}".strip())


def picked(tensors: WithAxes, rows: list[int]) -> WithAxes:
    """Return some rows of tensors, of those with an axis B."""
    return {
        name: (rows_of(tensor, axes, rows), axes) if "B" in axes.split() else (tensor, axes)
        for name, (tensor, axes) in tensors.items()
    }


def rows_of(tensor: Tensor, axes: str, rows: list[int]) -> Tensor:
    """Return some rows along the axis B."""
    return tensor.index_select(axes.split().index("B"), torch.tensor(rows, device=tensor.device))
