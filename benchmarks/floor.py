"""The floor of a piece of work: its matrix products alone, each timed at its own shape and layout.

Nothing that computes the same products can take less, whatever else it saves. The products are those of the
generic path (`operations`), and their results are written into memory that is there already. A second time
has results that are new each time, as `a @ b` makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from time import process_time

import torch
from torch import Tensor

from amrbench.training.criterion import tensors_of
from benchmarks import ours
from benchmarks.interleaved import Stopwatch, seconds
from benchmarks.operations import Operand, Product, operations_on_meta
from benchmarks.problems import on_meta

MOST_CALLS = 3
"""Times that a product is timed in a pass; more often needed ones count with the mean."""
FEEDFORWARD = Product("mm", (Operand((9600, 256), (256, 1)), Operand((256, 1024), (1, 256))), torch.float32)
COPIED = 256 * 2**20
"""Bytes."""


class Floor:
    """Times matrix products alone."""

    def __init__(self, products: Mapping[Product, int], clock: Stopwatch = process_time) -> None:
        """Take products with how often each is needed."""
        self.products = Counter(products)
        self.clock = clock
        extents = [0] * 3
        for product in products:
            for slot, operand in enumerate(reversed(product.operands)):
                extents[slot] = max(extents[slot], operand.extent)
        results = max((result_of(product).extent for product in products), default=0)
        self.memory = [torch.randn(extent) for extent in (*extents, results)]

    @property
    def flops(self) -> int:
        """Of one pass."""
        return sum(product.flops * count for product, count in self.products.items())

    def seconds(self) -> float:
        """Return the seconds that all products take one after another."""
        return sum(self.of_product(product) * count for product, count in self.products.items())

    def seconds_with_new_results(self) -> float:
        """Return the same with memory that is allocated for each result."""
        return sum(self.of_product(product, new=True) * count for product, count in self.products.items())

    def of_product(self, product: Product, *, new: bool = False) -> float:
        """Return the seconds of one product, after one that is not timed."""
        operands = [
            laid_out(memory, operand)
            for memory, operand in zip(self.memory, reversed(product.operands), strict=False)
        ][::-1]
        run = getattr(torch, product.name)
        if not new:
            run = partial(run, out=laid_out(self.memory[-1], result_of(product)))
        run(*operands)
        calls = min(self.products[product], MOST_CALLS)

        def repeated() -> None:
            for _ in range(calls):
                run(*operands)

        return seconds(repeated, self.clock) / calls


def result_of(product: Product) -> Operand:
    """Return the layout of the result: rows one after another."""
    left, right = product.operands[-2:]
    shape = (*left.shape[:-1], right.shape[-1])
    return Operand(shape, torch.empty(shape, device="meta").stride())


def laid_out(memory: Tensor, operand: Operand) -> Tensor:
    """Return the beginning of flat memory as a matrix."""
    return memory.as_strided(operand.shape, operand.stride)


def floor_of_step(batch: int, frames: int) -> Floor:
    """Return the floor of a training step of the baseline, without the update of the weights."""
    criterion = ours.criterion_of(ours.shipped_recipe()).to("meta")
    with operations_on_meta() as operations:
        criterion(*on_meta(batch, frames)).total.backward()
    return Floor(operations.products)


def floor_of_prediction(batch: int, frames: int) -> Floor:
    """Return the floor of encoding and decoding a batch."""
    model = ours.criterion_of(ours.shipped_recipe()).to("meta").eval().model
    with torch.no_grad(), operations_on_meta() as operations:
        tensors_of(model, model.encode(on_meta(batch, frames)[0]))["spans"]
    return Floor(operations.products)


def calibration() -> dict[str, float]:
    """Return what one thread of this machine reaches in a large product and in a copy."""
    gemm = Floor({FEEDFORWARD: MOST_CALLS})
    source = torch.ones(COPIED, dtype=torch.uint8)
    target = torch.empty_like(source)
    target.copy_(source)
    copy = min(seconds(lambda: target.copy_(source)) for _ in range(3))
    best = min(gemm.of_product(FEEDFORWARD) for _ in range(3))
    return {
        "gemm_gflop_a_second": FEEDFORWARD.flops / best / 1e9,
        "copy_gb_a_second": 2 * COPIED / copy / 1e9,
    }
