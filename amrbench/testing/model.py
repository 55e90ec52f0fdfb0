"""The contract of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.part import Part
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.small_data import (
    CONTEXT,
    ContractFixture,
    close,
    expect,
    make_batch,
    pad_batch,
    pick_rows,
)
from amrbench.types import Batch, Prediction


def check_model(part: Part, fixture: ContractFixture) -> None:
    """Check shapes, names, padding, batch independence, gradients, bfloat16 and saved weights."""
    who, part = f"model {part.use!r}", cast("ModelPart", part)
    model = build_model(part)
    batch = make_batch()
    for inputs in (batch, make_batch((1,), (1,)), make_batch((7, 4), (1, 1))):
        _check_shapes(predict(model, inputs), inputs, who)
    _check_tensors(part, model, batch, who)
    plain = predict(model, batch)
    for cause, inputs, rows in _equivalent(batch):
        _expect_same(plain, predict(model, inputs), f"{who}: {cause}", rows=rows)
    _check_gradients(part, model, batch, who)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = predict(model, batch)
    finite = bool(rounded.spans.isfinite().all() and rounded.scores.isfinite().all())
    expect(finite, f"{who}: under bfloat16 its spans or scores are not finite.")
    again, other = part.build(CONTEXT).eval(), part.build(replace(CONTEXT, seed=1)).eval()
    _expect_same(plain, predict(again, batch), f"{who}: building it again", within=0)
    other.load_state_dict(model.state_dict())
    _expect_same(plain, predict(other, batch), f"{who}: saving and loading its weights", within=0)


def build_model(part: ModelPart) -> nn.Module:
    """Return the model for the features of `make_batch`, in evaluation mode.

    Raises:
        AssertionError: Building it draws from the global random state.
    """
    before = torch.get_rng_state()
    model = part.build(CONTEXT).eval()
    same = torch.equal(before, torch.get_rng_state())
    expect(same, f"model {part.use!r}: build draws from the global random state; use context.drawing().")
    return model


@torch.no_grad()
def predict(model: nn.Module, batch: Batch) -> Prediction:
    """Return the prediction of a model for a batch."""
    moments = cast("MomentModel", model)
    return moments.decode(moments.encode(batch))


def expect_gradients(module: nn.Module, who: str) -> None:
    """Raise AssertionError where a trainable parameter has no gradient after a backward pass."""
    unused = [
        name for name, weight in module.named_parameters() if weight.requires_grad and weight.grad is None
    ]
    expect(not unused, f"{who}: no gradient reaches {', '.join(unused)}.")


def _check_shapes(prediction: Prediction, batch: Batch, who: str) -> None:
    spans, scores, size = prediction.spans, prediction.scores, len(batch.audio)
    expect(
        spans.shape == (*scores.shape, 2) and scores.shape[0] == size,
        f"{who}: spans {tuple(spans.shape)} and scores {tuple(scores.shape)} "
        f"of {size} queries are not (B, Q, 2) and (B, Q).",
    )
    finite = bool(spans.isfinite().all() and scores.isfinite().all())
    expect(finite, f"{who}: spans or scores are not finite for audio {tuple(batch.audio.shape)}.")
    expect(bool((spans[..., 1] >= 0).all()), f"{who}: a span has a negative width.")


def _check_tensors(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    encoded = cast("MomentModel", model.train()).encode(batch, part.views)
    prediction = cast("MomentModel", model).decode(encoded)
    model.eval()
    provided = {**encoded.tensors, **prediction.tensors}
    names = set(provided).union(*encoded.views.values())
    missing, undeclared = sorted(part.provides.keys() - names), sorted(names - part.provides.keys())
    expect(not missing, f"{who}: `provides` lists {', '.join(missing)}, but it does not return them.")
    expect(not undeclared, f"{who}: it returns {', '.join(undeclared)}, but `provides` does not list them.")
    views = sorted(part.views - set(encoded.views))
    expect(not views, f"{who}: `views` lists {', '.join(views)}, but it does not return them.")
    sizes = {"B": len(batch.audio), "T": batch.audio.shape[1], "L": batch.text.shape[1]}
    for tensors in (provided, *encoded.views.values()):
        for name, tensor in tensors.items():
            _check_axes(name, tensor, part.provides[name], sizes, who)


def _check_axes(name: str, tensor: Tensor, axes: str, sizes: dict[str, int], who: str) -> None:
    """Compare a tensor with its axes; a letter of unknown size gets that of the first tensor that has it."""
    mismatch = f"{who}: {name!r} has shape {tuple(tensor.shape)}, but `provides` says {axes!r}"
    letters = axes.split()
    expect(len(letters) == tensor.dim(), f"{mismatch}.")
    for axis, size in zip(letters, tensor.shape, strict=True):
        if len(axis) == 1 and axis.isalpha():
            sizes.setdefault(axis, size)
        known = [int(letter) if letter.isdigit() else sizes.get(letter) for letter in axis.split("+")]
        if None not in known:
            total = sum(size for size in known if size is not None)
            expect(size == total, f"{mismatch}, where {axis} is {total}.")


def _equivalent(batch: Batch) -> Iterator[tuple[str, Batch, list[int]]]:
    """Yield (cause, input, rows): changes of a batch after which these rows must have the same prediction."""
    rows, order = list(range(len(batch.audio))), [2, 0, 3, 1]
    yield "extra padding", pad_batch(batch, frames=9), rows
    yield "extra padding", pad_batch(batch, words=4), rows
    yield "the order of the queries", pick_rows(batch, order), order
    for row in rows:
        yield "the rest of the batch", pick_rows(batch, [row]), [row]
    yield "which queries share a recording", replace(batch, recording=torch.arange(len(rows))), rows


def _expect_same(
    one: Prediction,
    other: Prediction,
    cause: str,
    *,
    rows: list[int] | slice = slice(None),
    within: float = 1e-5,
) -> None:
    same = close(one.spans[rows], other.spans, within=within)
    same = same and close(one.scores[rows], other.scores, within=within)
    expect(same, f"{cause} changes its spans or scores by more than {within:g}.")


def _check_gradients(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    """Check the gradient of a sum of all numbers that the model returns, each with another weight."""
    moments = cast("MomentModel", model)
    model.zero_grad()
    encoded = moments.encode(batch, part.views)
    prediction = moments.decode(encoded)
    tensors = [prediction.spans, prediction.scores]
    for named in (prediction.tensors, encoded.tensors, *encoded.views.values()):
        tensors += named.values()
    trained = [tensor.float() for tensor in tensors if tensor.requires_grad]
    sums = [(tensor * torch.linspace(0.5, 1.5, tensor.numel()).view_as(tensor)).sum() for tensor in trained]
    torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
    expect_gradients(model, who)
    grads = [weight.grad for weight in model.parameters() if weight.grad is not None]
    expect(all(bool(grad.isfinite().all()) for grad in grads), f"{who}: a gradient is not finite.")
