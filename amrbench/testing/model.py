"""The contract of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from amrbench.functional.axes import AxisSizes
from amrbench.part import Part
from amrbench.slots.model import ModelPart, MomentModel
from amrbench.testing.model_runs import (
    ModelRun,
    WithAxes,
    changes,
    expect_same,
    paddings,
    picked,
    run_model,
)
from amrbench.testing.other_device import check_device, on_meta
from amrbench.testing.small_data import CONTEXT, ContractFixture, expect, make_batch
from amrbench.testing.unchanged import unchanged
from amrbench.training.block_calls import BlockCall, provided_fault
from amrbench.types import Batch, Tensors

SIZES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((14, 9, 14, 11), (5, 3, 1, 4)),
    ((7, 4, 6), (1, 2, 1)),
    ((1,), (1,)),
)
"""Frames and words of the batches whose tensors are compared with their axes."""


def check_model(part: Part, fixture: ContractFixture, *, watched: Part | None = None) -> None:
    """Check every tensor that a model provides: axes, padding, batch, repetition, gradients, types, device.

    Args:
        part: The model.
        fixture: Not needed here.
        watched: A part inside the model whose blocks are checked one by one.
    """
    who, part = f"model {part.use!r}", cast("ModelPart", part)
    model, batch, sizes = build_model(part), make_batch(), AxisSizes({})
    for lengths in SIZES:
        _check_tensors(part, model, make_batch(*lengths), sizes, watched)
    plain = run_model(model, batch, watched=watched)
    with unchanged(who, batch=batch):
        again = run_model(model, batch, watched=watched)
    _expect_equal(part, plain, again, f"{who}: calling it again", _NO_STATE)
    for change in changes(batch):
        run, cause = run_model(model, change.batch, watched=watched), f"{who}: {change.cause}"
        _check_calls(plain.calls, run.calls, change.rows, (change.cause, change.remedy))
        masks = {axis: mask[change.rows] for axis, mask in plain.masks.items()}
        before = picked(plain.tensors(part), change.rows)
        expect_same(before, run.tensors(part), cause, change.remedy, masks=masks)
    viewed = run_model(model, batch, part.views)
    for change in paddings(batch):
        padded = run_model(model, change.batch, part.views).view_tensors(part)
        cause = f"{who}: {change.cause}"
        expect_same(viewed.view_tensors(part), padded, cause, change.remedy, masks=plain.masks)
    _check_repetition(part, model, plain, who)
    _check_gradients(part, model, batch, who)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _expect_finite(run_model(model, batch).tensors(part), f"{who}: under bfloat16")
    check_device(lambda: _tensors_on_meta(part, batch), who)


_NO_STATE = "Keep nothing from call to call, and draw random numbers only in training mode."


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
def predict(model: nn.Module, batch: Batch) -> Tensors:
    """Return all tensors that a model provides for a batch."""
    moments = cast("MomentModel", model)
    encoded = moments.encode(batch)
    return {**encoded.tensors, **moments.decode(encoded)}


def expect_gradients(module: nn.Module, who: str) -> None:
    """Raise AssertionError where a trainable parameter has no gradient, or none that is finite."""
    trained = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
    unused = [name for name, weight in trained if weight.grad is None]
    expect(not unused, f"{who}: no gradient reaches {', '.join(unused)}.")
    infinite = [
        name for name, weight in trained if weight.grad is not None and not weight.grad.isfinite().all()
    ]
    expect(not infinite, f"{who}: the gradient of {', '.join(infinite)} is not finite.")


def _check_tensors(
    part: ModelPart, model: nn.Module, batch: Batch, sizes: AxisSizes, watched: Part | None
) -> None:
    """Check what is provided with all views against axes; also types and numbers."""
    who = f"model {part.use!r}"
    run = run_model(model.train(), batch, part.views, watched)
    model.eval()
    _check_results(run.calls)
    fault, owner = provided_fault(part, batch, run.encoded, run.decoded, sizes)
    name = who if owner == part else f"{owner.slot} {owner.use!r}"
    expect(not fault, f"{name}: {fault}")
    where = f"for audio {tuple(batch.audio.shape)}"
    for tensors in (run.tensors(part), run.view_tensors(part)):
        _expect_finite(tensors, who, where)
        for name, (tensor, axes) in tensors.items():
            expect_float32(name, tensor, axes, who)


def expect_float32(name: str, tensor: Tensor, axes: str, who: str) -> None:
    """Raise AssertionError if a tensor of floating-point numbers has another dtype than the input."""
    single = not tensor.is_floating_point() or tensor.dtype == torch.float32
    expect(
        single,
        f"{who}: {name!r} ({axes}) is {tensor.dtype}, where the input is torch.float32. Create tensors with "
        "the dtype of the input (new_zeros, dtype=...).",
    )


def _expect_finite(tensors: WithAxes, who: str, where: str = "") -> None:
    for name, (tensor, axes) in tensors.items():
        finite = not tensor.is_floating_point() or bool(tensor.isfinite().all())
        expect(
            finite,
            f"{who}: {name!r} ({axes}) is not finite {where}".rstrip()
            + ". Padding must stay finite too: NaN survives products with 0.",
        )


def _check_results(calls: Iterable[BlockCall]) -> None:
    """Check what blocks returned: kinds, axes, numbers, types, and that they wrote into nothing."""
    for call in calls:
        fault = call.fault()
        expect(not fault, f"{call.who}: {fault}")
        for name, tensor, axes in call.tensors():
            _expect_finite({name: (tensor, axes)}, f"{call.who}: {call.method}")
            expect_float32(name, tensor, axes, f"{call.who}: {call.method}")


def _check_calls(
    plain: list[BlockCall], others: list[BlockCall], rows: list[int], change: tuple[str, str]
) -> None:
    """Check that blocks return the same numbers for the same rows, at real positions."""
    size = len(make_batch().audio)
    cause, remedy = change
    for one, other in zip(plain, others, strict=True):
        if one.batch not in (None, size) or other.batch not in (None, len(rows)):
            continue  # Of several views, or of words and dummies, as one batch.
        masks = {axis: mask[rows] for axis, mask in one.masks().items()}
        unknown = {"n", "T"} - masks.keys()
        known = [named for named in one.tensors() if unknown.isdisjoint(named[2].split())]
        tensors = {name: (tensor, axes) for name, tensor, axes in known}
        changed = {name: (tensor, axes) for name, tensor, axes in other.tensors()}
        expect_same(picked(tensors, rows), changed, f"{one.who}: {cause}", remedy, masks=masks)


def _expect_equal(part: ModelPart, one: ModelRun, other: ModelRun, cause: str, remedy: str = "") -> None:
    expect_same(one.tensors(part), other.tensors(part), cause, remedy, masks={}, within=0)


def _check_repetition(part: ModelPart, model: nn.Module, plain: ModelRun, who: str) -> None:
    """Check that seed, options and weights alone decide the numbers."""
    batch = plain.batch
    again, other = part.build(CONTEXT).eval(), part.build(replace(CONTEXT, seed=1)).eval()
    _expect_equal(part, plain, run_model(again, batch), f"{who}: building it again")
    other.load_state_dict(model.state_dict())
    remedy = "Keep all that is learned or drawn in parameters and buffers."
    _expect_equal(part, plain, run_model(other, batch), f"{who}: saving and loading its weights", remedy)
    runs = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            runs.append(run_model(again.train(), batch))
    cause = f"{who}: in training mode, calling it again with the same random state"
    remedy = "Draw random numbers from torch's random state alone, and keep nothing from call to call."
    _expect_equal(part, runs[0], runs[1], cause, remedy)


def _check_gradients(part: ModelPart, model: nn.Module, batch: Batch, who: str) -> None:
    """Check that gradients reach all weights from all tensors, and the inputs from what is decoded."""
    moments = cast("MomentModel", model)
    batch = replace(
        batch, audio=batch.audio.clone().requires_grad_(), text=batch.text.clone().requires_grad_()
    )
    _check_gradients_of_inputs(model, batch, who)
    model.zero_grad()
    encoded = moments.encode(batch, part.views)
    provided = (moments.decode(encoded), encoded.tensors, *encoded.views.values())
    weighted_sum(tensor for named in provided for tensor in named.values()).backward()  # type: ignore[no-untyped-call]
    expect_gradients(model, who)


def _check_gradients_of_inputs(model: nn.Module, batch: Batch, who: str) -> None:
    """Check that gradients of what is decoded, or else encoded, reach the inputs that it depends on."""
    moments = cast("MomentModel", model)
    encoded = moments.encode(batch)
    tensors = moments.decode(encoded) or encoded.tensors
    inputs = {"audio": batch.audio, "text": batch.text}
    gradients: Sequence[Tensor | None] = [None] * len(inputs)
    if any(tensor.requires_grad for tensor in tensors.values()):
        total = weighted_sum(tensors.values())
        gradients = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    for (name, tensor), gradient in zip(inputs.items(), gradients, strict=True):
        changed = predict(model, replace(batch, **{name: tensor.detach() * 1.5}))
        same = all(torch.equal(changed[key], tensor) for key, tensor in tensors.items())
        reached = gradient is not None and bool(gradient.any())
        expect(
            reached or same,
            f"{who}: what it decodes depends on the {name}, but no gradient reaches it. Remove the detach() "
            "or no_grad() on the way.",
        )


def weighted_sum(tensors: Iterable[Tensor]) -> Tensor:
    """Return a sum of all numbers that carry gradients, each with another weight."""
    trained = [tensor.float() for tensor in tensors if tensor.requires_grad]
    sums = [(tensor * torch.linspace(0.5, 1.5, tensor.numel()).view_as(tensor)).sum() for tensor in trained]
    return torch.stack(sums).sum()


def _tensors_on_meta(part: ModelPart, batch: Batch) -> dict[str, Tensor]:
    model = part.build(CONTEXT).eval().to("meta")
    run = run_model(model, on_meta(batch), part.views)
    return {
        name: tensor for name, (tensor, _) in (*run.tensors(part).items(), *run.view_tensors(part).items())
    }
