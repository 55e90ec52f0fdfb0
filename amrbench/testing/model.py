"""What holds for every model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from amrbench.part import Part
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.samples import CONTEXT, ContractFixture, close, expect, make_batch, pad_batch, pick_rows
from amrbench.types import Batch, Encoded, Prediction


def check_model(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check shapes, names, padding, batch independence, gradients, bfloat16 and saved weights."""
    who, part = f"model {part.use!r}", cast("ModelPart", part)
    model = build_model(part)
    batch = make_batch()
    _check_shapes(model, batch, who)
    _check_names(part, model, batch, who)
    _check_padding(model, batch, who)
    _check_rows(model, batch, who)
    _check_gradients(part, model, batch, who)
    _check_bfloat16(model, batch, who)
    _check_weights(part, model, batch, who)


def build_model(part: ModelPart) -> nn.Module:
    """Return the model for made-up features, in evaluation mode.

    Raises:
        AssertionError: building it draws from the global random state.
    """
    before = torch.get_rng_state()
    model = part.build(CONTEXT).eval()
    same = torch.equal(before, torch.get_rng_state())
    expect(same, f"model {part.use!r}: build draws from the global random state; use context.drawing().")
    return model


@torch.no_grad()
def predict(model: nn.Module, batch: Batch) -> Prediction:
    """Return what a model says of a batch."""
    moments = cast("MomentModel", model)
    return moments.decode(moments.encode(batch))


def _check_shapes(model: nn.Module, batch: Batch, who: str) -> None:
    for each in (batch, make_batch((1,), (1,)), make_batch((7, 4), (1, 1))):
        found, size = predict(model, each), len(each.audio)
        expect(
            found.spans.shape == (*found.scores.shape, 2) and found.scores.shape[0] == size,
            f"{who}: spans {tuple(found.spans.shape)} and scores {tuple(found.scores.shape)} "
            f"of {size} queries are not (B, Q, 2) and (B, Q).",
        )
        finite = bool(found.spans.isfinite().all() and found.scores.isfinite().all())
        expect(finite, f"{who}: spans or scores are not finite for {tuple(each.audio.shape)} rows of audio.")
        expect(bool((found.spans[..., 1] >= 0).all()), f"{who}: a span has a negative width.")


def _check_names(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    encoded = cast("MomentModel", model.train()).encode(batch, part.views)
    prediction = cast("MomentModel", model).decode(encoded)
    model.eval()
    provided = {**encoded.tensors, **prediction.tensors}
    given = set(provided).union(*encoded.views.values())
    missing, unnamed = sorted(part.provides.keys() - given), sorted(given - part.provides.keys())
    expect(not missing, f"{who}: it says that it provides {', '.join(missing)}, and does not.")
    expect(not unnamed, f"{who}: it provides {', '.join(unnamed)} without saying so in `provides`.")
    views = sorted(part.views - set(encoded.views))
    expect(not views, f"{who}: it says that it has the view {', '.join(views)}, and does not give it.")
    sizes = {"B": len(batch.audio), "T": batch.audio.shape[1], "L": batch.text.shape[1]}
    for tensors in (provided, *encoded.views.values()):
        for name, tensor in tensors.items():
            _check_axes(name, tensor, part.provides[name], sizes, who)


def _check_axes(name: str, tensor: Tensor, axes: str, sizes: dict[str, int], who: str) -> None:
    """Compare a tensor with its axes; `sizes` of letters that are met for the first time are filled in."""
    told = f"{who}: {name!r} has the shape {tuple(tensor.shape)}, not the axes {axes!r} that `provides` names"
    letters = axes.split()
    expect(len(letters) == tensor.dim(), f"{told}.")
    for axis, size in zip(letters, tensor.shape, strict=True):
        if len(axis) == 1 and axis.isalpha():
            sizes.setdefault(axis, size)
        known = [int(letter) if letter.isdigit() else sizes.get(letter) for letter in axis.split("+")]
        if None not in known:
            total = sum(size for size in known if size is not None)
            expect(size == total, f"{told}: {axis} is {total} here.")


def _check_padding(model: nn.Module, batch: Batch, who: str) -> None:
    plain = predict(model, batch)
    for words, frames in ((0, 9), (4, 0)):
        _same(plain, predict(model, pad_batch(batch, frames=frames, words=words)), f"{who}: extra padding")


def _check_rows(model: nn.Module, batch: Batch, who: str) -> None:
    plain = predict(model, batch)
    order = [2, 0, 3, 1]
    shuffled = predict(model, pick_rows(batch, order))
    _same(_rows(plain, order), shuffled, f"{who}: the order of the queries")
    for row in range(len(batch.audio)):
        alone = predict(model, pick_rows(batch, [row]))
        _same(_rows(plain, [row]), alone, f"{who}: who else is in the batch")
    others = predict(model, replace(batch, recording=torch.arange(len(batch.audio))))
    _same(plain, others, f"{who}: which queries share a recording")


def _check_gradients(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    moments = cast("MomentModel", model)
    model.zero_grad()
    encoded = moments.encode(batch, part.views)
    _pull(encoded, moments.decode(encoded)).backward()  # type: ignore[no-untyped-call]
    idle = [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None]
    expect(not idle, f"{who}: no gradient reaches {', '.join(idle)}.")
    grads = [each.grad for each in model.parameters() if each.grad is not None]
    expect(all(bool(each.isfinite().all()) for each in grads), f"{who}: a gradient is not finite.")


def _pull(encoded: Encoded, prediction: Prediction) -> Tensor:
    tensors: list[Any] = [prediction.spans, prediction.scores, *prediction.tensors.values()]
    tensors += [
        *encoded.tensors.values(),
        *(each for view in encoded.views.values() for each in view.values()),
    ]
    pulled = [each for each in tensors if each.requires_grad]
    return torch.stack(
        [(each.float() * torch.linspace(0.5, 1.5, each.numel()).view_as(each)).sum() for each in pulled]
    ).sum()


def _check_bfloat16(model: nn.Module, batch: Batch, who: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = predict(model, batch)
    finite = bool(found.spans.isfinite().all() and found.scores.isfinite().all())
    expect(finite, f"{who}: under bfloat16 its spans or scores are not finite.")


def _check_weights(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    again = part.build(CONTEXT).eval()
    _same(predict(model, batch), predict(again, batch), f"{who}: building it a second time", within=0)
    other = part.build(replace(CONTEXT, seed=1)).eval()
    other.load_state_dict(model.state_dict())
    _same(predict(model, batch), predict(other, batch), f"{who}: saving and loading its weights", within=0)


def _rows(prediction: Prediction, rows: list[int]) -> Prediction:
    return Prediction(prediction.spans[rows], prediction.scores[rows], {})


def _same(one: Prediction, other: Prediction, cause: str, within: float = 1e-5) -> None:
    same = close(one.spans, other.spans, within=within) and close(one.scores, other.scores, within=within)
    expect(same, f"{cause} changes its spans or scores by more than {within:g}.")
