"""What a training step of the baseline costs at full size, in exact counts that are the same everywhere.

Counted on the generic path: see `benchmarks.operations`. What is faster must not cost more of any of these;
if a change of the model needs more, raise the limit and say so in CHANGELOG.md.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

from amrbench.training.criterion import tensors_of
from amrbench.training.step_check import StepCheck
from amrbench.types import Losses
from amrbench_plugins.moment_detr.packing import Packing
from benchmarks import ours
from benchmarks.operations import Operations, operations_on_meta
from benchmarks.problems import castella_lengths, on_meta, problem

GFLOP = {(32, 60): 141, (32, 300): 610}
"""Of the matrix products of a step, by queries of the batch and frames of each recording."""
GFLOP_OF_PREDICTION = {(32, 60): 27, (32, 300): 105}
MOST_PACKED, MOST_OF_PADDED = 0.93, 0.9
"""Share of the products of a padded batch, at lengths of CASTELLA: packed, and dropped branches left out."""
KERNELS = 2_500
WAITS = 1


@cache
def forward_and_backward(batch: int, frames: int) -> Operations:
    criterion = ours.criterion_of(ours.shipped_recipe()).to("meta")
    check = StepCheck(criterion)
    check.begin(0, 0, *on_meta(batch, frames))
    with operations_on_meta() as operations:
        check.losses().total.backward()
    return operations


@cache
def update() -> Operations:
    """Count clipping and update, which need a device that computes."""
    recipe = ours.shipped_recipe()
    criterion = ours.criterion_of(recipe)
    weights = [weight for weight in criterion.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) for weight in weights]

    def losses() -> Losses:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        return Losses(total=torch.zeros((), requires_grad=True), terms={})

    step = ours.updater_of(recipe, criterion).step
    step(losses)  # The first one makes the state of the optimizer.
    with Operations() as operations:
        step(losses)
    return operations


@pytest.mark.parametrize("size", GFLOP)
def test_a_step_has_no_more_matrix_products(size: tuple[int, int]) -> None:
    operations = forward_and_backward(*size)
    largest = sorted(operations.products.items(), key=lambda item: -item[0].flops * item[1])[:8]
    table = "\n".join(f"{count} x {product.text()}" for product, count in largest)
    spent = operations.flops / 1e9
    assert spent <= GFLOP[size], f"{spent:.1f} GFLOP at {size}; the largest products are\n{table}"
    assert spent > 0.9 * GFLOP[size], f"only {spent:.1f} GFLOP at {size}: lower the limit"


@pytest.mark.parametrize("size", GFLOP_OF_PREDICTION)
def test_a_prediction_has_no_more_matrix_products(size: tuple[int, int]) -> None:
    model = ours.criterion_of(ours.shipped_recipe()).to("meta").eval().model
    batch, _ = on_meta(*size)
    with torch.no_grad(), operations_on_meta() as operations:
        assert tensors_of(model, model.encode(batch))["spans"].shape[1] == len(batch.audio)
    spent, limit = operations.flops / 1e9, GFLOP_OF_PREDICTION[size]
    assert 0.9 * limit < spent <= limit, f"{spent:.1f} GFLOP at {size}"
    assert operations.waits == []


def packed(batch: int, frames: int) -> Operations:
    """Count a step on the CPU, of recordings as long as those of CASTELLA."""
    criterion = ours.criterion_of(ours.shipped_recipe())
    given = problem(batch, frames, castella_lengths(batch))
    torch.manual_seed(0)
    with Operations() as operations:
        criterion(given.batch, given.target).total.backward()
    return operations


def test_on_cpus_padding_of_long_recordings_takes_no_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packing, "drop", lambda self, _: self)
    share = packed(8, 300).flops / forward_and_backward(8, 300).flops
    assert share <= MOST_PACKED, f"packed, {share:.3f} of the products are left"


def test_on_cpus_dropped_branches_take_no_products_either() -> None:
    share = packed(8, 300).flops / forward_and_backward(8, 300).flops
    assert share <= MOST_OF_PADDED, f"{share:.3f} of the products are left"


def test_a_step_has_no_more_kernels() -> None:
    forward, last = forward_and_backward(32, 60), update()
    kernels = forward.kernels + last.kernels
    assert kernels.total() <= KERNELS, (
        f"{kernels.total():,} kernels in a step. The most frequent: {forward.frequent(30)}; "
        f"of clipping and update: {last.frequent()}"
    )


def test_the_number_of_kernels_does_not_depend_on_the_size() -> None:
    assert forward_and_backward(32, 60).kernels == forward_and_backward(32, 300).kernels


def test_a_step_waits_for_the_device_only_to_match() -> None:
    operations = forward_and_backward(32, 60)
    assert len(operations.waits) == WAITS, f"the host waits for the device: {operations.waits}"
    assert "matcher.py" in operations.waits[0]
