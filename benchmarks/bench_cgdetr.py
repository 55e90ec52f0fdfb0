"""Time of training steps and predictions of our CG-DETR, against the plain module of the tests.

Run: pytest benchmarks/bench_cgdetr.py --benchmark-enable
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import median
from time import process_time
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from amrbench.types import BuildContext, FeatureWidths
from amrbench_plugins.cgdetr.reference_weights import build_reference
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr import CGDETR, Inputs
from tests.oracle.cgdetr_loss import Targets, criterion
from tests.plugins.cgdetr import golden

FRAMES, WORDS = 60, 12
ROUNDS = 5
WAITS = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default"}
Step = Callable[[], Any]


@dataclass(frozen=True)
class Problem:
    """A batch and its ground truth."""

    inputs: Inputs
    targets: Targets


@cache
def problem(batch: int, frames: int) -> Problem:
    """Recordings of equal length, each with one window."""
    torch.manual_seed(0)
    start = torch.arange(frames) / frames
    temporal = torch.stack([start, start + 1 / frames], -1).expand(batch, -1, -1)
    labels = torch.zeros(batch, frames)
    labels[:, 5:15] = 1
    inputs = Inputs(
        text=nn.functional.normalize(torch.randn(batch, WORDS, 768), dim=-1),
        text_mask=torch.arange(WORDS) < torch.randint(3, WORDS + 1, (batch, 1)),
        temporal=temporal,
        audio=nn.functional.normalize(torch.randn(batch, frames, 768), dim=-1),
        audio_mask=torch.ones(batch, frames, dtype=torch.bool),
        recordings=[f"v{row}" for row in range(batch)],
    )
    spans = [torch.tensor([[10 / frames, 10 / frames]]) for _ in range(batch)]
    pairs = torch.tensor([[6, 9]]).expand(batch, -1)
    return Problem(inputs, Targets(spans, labels, pairs, pairs + 20))


def training_step(module: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """A step of AdamW with clipped gradients, which both sides train with."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(module.parameters(), 0.1)
        optimizer.step()

    return step


def our_step(given: Problem) -> Step:
    reference = build_reference(cases.FULL_CONFIG)
    losses = nn.ModuleList(
        golden.option("loss", use).build(BuildContext(FeatureWidths(768, 768))) for use in golden.LOSSES
    )
    losses.append(reference.loss)
    module = nn.ModuleList([reference.model, losses]).train()
    batch, target = golden.batch_of(given.inputs), golden.target_of(given.targets)
    matcher = golden.option("matcher", "hungarian").build()

    def loss() -> Tensor:
        encoded = reference.model.encode(batch, (golden.VIEW,))
        result = golden.Result(batch, encoded, reference.model.decode(encoded))
        outcome = golden.outcome_of(result, target, matcher)
        return golden.total({name: term for part in losses for name, term in part(outcome).items()})

    return training_step(module, loss)


def plain_step(given: Problem) -> Step:
    model = CGDETR(cases.FULL_CONFIG).train()
    return training_step(model, lambda: criterion(model, model(given.inputs), given.targets).total)


def our_prediction(given: Problem) -> Step:
    model, batch = build_reference(cases.FULL_CONFIG).model, golden.batch_of(given.inputs)
    return torch.no_grad()(lambda: model.decode(model.encode(batch))["spans"])


def plain_prediction(given: Problem) -> Step:
    # Without recordings the plain module makes no negative pass, as the reference when it predicts.
    model, inputs = CGDETR(cases.FULL_CONFIG).eval(), replace(given.inputs, recordings=[])
    return torch.no_grad()(lambda: model(inputs).spans)


def seconds(step: Step) -> float:
    start = process_time()
    step()
    return process_time() - start


def ratio(benchmark: BenchmarkFixture, ours: Step, plain: Step) -> float:
    """How many times faster ours is: processor time, in turns in one process with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for step in (ours, plain):
        step()
    pairs = [(seconds(ours), seconds(plain)) for _ in range(ROUNDS)]
    benchmark.pedantic(ours, rounds=1)
    torch.set_num_threads(threads)
    faster = median(other / own for own, other in pairs)
    benchmark.extra_info.update(
        times_faster=round(faster, 2),
        ours_ms=round(1e3 * median(own for own, _ in pairs), 1),
        plain_ms=round(1e3 * median(other for _, other in pairs), 1),
    )
    return faster


@pytest.mark.parametrize(("batch", "frames"), [(8, FRAMES), (4, 300)])
def test_training_step(benchmark: BenchmarkFixture, batch: int, frames: int) -> None:
    given = problem(batch, frames)
    assert ratio(benchmark, our_step(given), plain_step(given)) > 1


@pytest.mark.parametrize(("batch", "frames"), [(1, FRAMES), (8, FRAMES), (4, 300)])
def test_prediction(benchmark: BenchmarkFixture, batch: int, frames: int) -> None:
    given = problem(batch, frames)
    assert ratio(benchmark, our_prediction(given), plain_prediction(given)) > 0.9


class Operations(TorchDispatchMode):
    """Counts the operations of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_operations_of_a_step(benchmark: BenchmarkFixture) -> None:
    """The number of operations of one step, and how many of them wait for the device."""
    given, counts = problem(8, FRAMES), {}
    for side, step in (("ours", our_step(given)), ("plain", plain_step(given))):
        step()
        with Operations() as operations:
            step()
        waits = sum(operations.counts[name] for name in WAITS)
        counts[side] = {"operations": sum(operations.counts.values()), "waits": waits}
    benchmark.extra_info.update(counts)
    benchmark.pedantic(our_step(given), rounds=1)
    assert counts["ours"]["operations"] < counts["plain"]["operations"]
