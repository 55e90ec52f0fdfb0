"""Long recordings and large batches on a CPU: in blocks and without padding, against the path of short ones.

Run: pytest benchmarks/bench_long.py --benchmark-enable -s (add -m quick for a small batch)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn
from torch.testing import assert_close

from amrbench.training.criterion import Criterion
from amrbench_plugins.moment_detr import layers
from amrbench_plugins.moment_detr.layers import FeedForward, PReLU, SelfAttention
from amrbench_plugins.moment_detr.packing import Packing
from benchmarks import memory, ours
from benchmarks.floor import floor_of_prediction, floor_of_step
from benchmarks.interleaved import Work, interleaved, numerics_of_training
from benchmarks.operations import Operations
from benchmarks.problems import problem, reference_weights
from tests.folders import ROOT

NEVER = 10**9
ROUNDS = 5
SIZES = [pytest.param(4, 300, marks=pytest.mark.quick), (32, 300)]
LENGTHS = (300, 300, 300, 300, 300, 150, 262, 200)
"""Seconds of eight recordings, cut at 300: 12 % of their batch is padding, as of CASTELLA's batches."""


@contextmanager
def as_short(enabled: bool = True) -> Iterator[None]:
    """Compute long sequences and large batches as short and small ones."""
    least = {name: NEVER if enabled else getattr(layers, name) for name in ("LONG", "LARGE")}
    with mock.patch.multiple(layers, **least):
        yield


def without_dropout(criterion: Criterion) -> Criterion:
    for module in criterion.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    return criterion


def check_parity(batch: int, frames: int) -> None:
    """Without dropout, both paths have the same losses and gradients."""
    given, found = problem(batch, frames), []
    for short in (True, False):
        criterion = without_dropout(ours.with_weights(reference_weights()))
        with as_short(short):
            losses = criterion(given.batch, given.target)
            losses.total.backward()
        gradients = {
            name: value.grad for name, value in criterion.named_parameters() if value.grad is not None
        }
        found.append((losses.total.detach(), gradients))
    (plain, expected), (long, gradients) = found
    assert_close(long, plain, rtol=1e-5, atol=0)
    assert gradients.keys() == expected.keys()
    for name, value in expected.items():
        assert float((gradients[name] - value).norm()) <= 5e-3 * float(value.norm()) + 1e-4, name


def compared(benchmark: BenchmarkFixture, work: Work, floor: float | None = None) -> None:
    """Time both paths in turns."""

    def plain() -> None:
        with as_short():
            work()

    rounds = interleaved(work, plain, ROUNDS)
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\nblocks against the plain path: {rounds.text()}")
    if floor is not None:
        of_floor = sorted(each / floor for each in rounds.fast)[ROUNDS // 2]
        benchmark.extra_info["times_the_floor"] = round(of_floor, 3)
        print(f"{of_floor:.2f} times the sum of its matrix products")
    benchmark.pedantic(work, rounds=1)


@pytest.mark.parametrize(("batch", "frames"), SIZES)
def test_training_step(benchmark: BenchmarkFixture, batch: int, frames: int) -> None:
    check_parity(min(batch, 4), frames)
    floor = floor_of_step(batch, frames)
    with numerics_of_training():
        products = min(floor.seconds() for _ in range(2))
    compared(benchmark, ours.training_step(problem(batch, frames), reference_weights()), products)


@pytest.mark.parametrize(("batch", "frames"), SIZES)
def test_prediction(benchmark: BenchmarkFixture, batch: int, frames: int) -> None:
    prediction = ours.prediction(problem(batch, frames), reference_weights())
    with as_short():
        plain = prediction()
    assert_close(prediction(), plain, rtol=1e-4, atol=1e-5)
    floor = floor_of_prediction(batch, frames)
    with numerics_of_training():
        products = min(floor.seconds() for _ in range(2))
    compared(benchmark, prediction, products)


@pytest.mark.quick
@pytest.mark.parametrize("frames", [64, 96, 128, 192, 300])
@pytest.mark.parametrize("piece", ["attention", "feedforward"])
def test_piece(benchmark: BenchmarkFixture, piece: str, frames: int) -> None:
    """Forward and backward of one layer with 2,400 rows, which says from which length on blocks pay."""
    torch.manual_seed(0)
    batch = 2400 // frames
    x = torch.randn(batch, frames, 256, requires_grad=True)
    blocks, plain = PIECES[piece](x)

    def trained(work: Callable[[], torch.Tensor]) -> Work:
        return lambda: work().sum().backward()

    rounds = interleaved(trained(blocks), trained(plain), ROUNDS)
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\n{piece} of {frames} rows: {rounds.text()}")
    benchmark.pedantic(trained(blocks), rounds=1)


def feedforward_of(x: torch.Tensor) -> tuple[Work, Work]:
    layer = FeedForward(256, 1024, 0.1, PReLU())

    def plain() -> torch.Tensor:
        with as_short():
            return layer(x)

    return lambda: layer(x), plain


def attention_of(x: torch.Tensor) -> tuple[Work, Work]:
    layer, positions = SelfAttention(256, 8, 0.1), torch.zeros_like(x)
    lengths, bias = [x.shape[1]] * len(x), x.new_zeros(1, 1, 1, x.shape[1])
    rows = positions.flatten(0, 1)

    def blocks() -> torch.Tensor:
        with mock.patch.object(layers, "LONG", 1):  # Else short sequences of one length are one product.
            return layer.packed(x.flatten(0, 1), rows, lengths)

    return blocks, lambda: layer(x, positions, bias)


PIECES = {"attention": attention_of, "feedforward": feedforward_of}


@pytest.mark.quick
def test_products_of_a_padded_batch(benchmark: BenchmarkFixture) -> None:
    """GFLOP of the matrix products of a training step whose recordings differ in length."""
    given = problem(len(LENGTHS), 300)
    mask = torch.arange(300) < torch.tensor(LENGTHS)[:, None]
    batch, target = replace(given.batch, audio_mask=mask), given.target
    criterion: nn.Module = ours.with_weights(reference_weights())
    counts = {}
    all_kept = mock.patch.object(Packing, "drop", lambda packing, _: packing)
    for name, context in (("plain", as_short()), ("packed", all_kept), ("and dropped", as_short(False))):
        with context, Operations() as operations:
            criterion(batch, target).total.backward()
        counts[name] = operations.flops / 1e9
    benchmark.extra_info.update(counts)
    print("\n" + ", ".join(f"{name} {count:.1f} GFLOP" for name, count in counts.items()))
    benchmark.pedantic(lambda: None, rounds=1)
    assert counts["packed"] < counts["plain"]


def test_memory(benchmark: BenchmarkFixture) -> None:
    """Peak memory of two steps at full size, each path in a process of its own."""
    peaks = {}
    for name, least in {"blocks": (layers.LONG, layers.LARGE), "plain": (NEVER, NEVER)}.items():
        code = (
            f"from amrbench_plugins.moment_detr import layers; layers.LONG, layers.LARGE = {least}; "
            "from benchmarks import memory; memory.child('ours', 32, 300)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks[name] = memory.Peak(**json.loads(ran.stdout.splitlines()[-1]))
    ratios = peaks["blocks"].most / peaks["plain"].most, peaks["blocks"].of_steps / peaks["plain"].of_steps
    benchmark.extra_info.update(peak=ratios[0], of_steps=ratios[1])
    print(f"\npeak {ratios[0]:.2f} of the plain path's; what the steps add {ratios[1]:.2f}")
    benchmark.pedantic(lambda: None, rounds=1)
