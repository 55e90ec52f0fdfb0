"""The matrix products of a step, each timed alone."""

from __future__ import annotations

from itertools import count

import torch

from benchmarks.floor import FEEDFORWARD, Floor, calibration, floor_of_prediction, floor_of_step, result_of
from benchmarks.operations import Operations


def recorded() -> Operations:
    x, w, keys = torch.ones(5, 3), torch.ones(2, 3), torch.ones(4, 3, 2)
    with Operations() as operations:
        torch.nn.functional.linear(x, w, torch.ones(2))
        x @ w.t()
        x @ w.t()
        torch.ones(4, 5, 3) @ keys
        torch.baddbmm(torch.ones(1), x.expand(4, 5, 3), keys)
    return operations


def test_products_are_repeated_with_their_layouts() -> None:
    operations = recorded()
    calls = {product: 1 + number for product, number in operations.products.items()}
    for way in (Floor.seconds, Floor.seconds_with_new_results):
        with Operations() as repeated:
            way(Floor(operations.products))
        assert repeated.products == calls  # Each has one call that is not timed.


def test_a_pass_counts_each_product_as_often_as_it_is_needed() -> None:
    ticks = count()
    floor = Floor(recorded().products, clock=lambda: float(next(ticks)))
    assert floor.seconds() == 1 + 2 * 0.5 + 1 + 1  # One tick for all calls of a product.


def test_the_layout_of_a_result_is_that_of_torch() -> None:
    with Operations() as operations:
        result = torch.ones(4, 5, 3) @ torch.ones(4, 3, 2)
    (product,) = operations.products
    assert (result_of(product).shape, result_of(product).stride) == (result.shape, result.stride())


def test_the_floor_of_a_prediction_is_below_that_of_a_step() -> None:
    step, prediction = floor_of_step(2, 30), floor_of_prediction(2, 30)
    assert 0 < 3 * prediction.flops < step.flops
    assert prediction.seconds() > 0


def test_the_machine_is_measured_by_one_product_and_one_copy() -> None:
    rates = calibration()
    assert rates.keys() == {"gemm_gflop_a_second", "copy_gb_a_second"}
    assert min(rates.values()) > 0
    assert FEEDFORWARD.flops == 2 * 9600 * 256 * 1024
