"""Time and memory of training steps that keep freed memory, against glibc's defaults.

Each measurement is a process of its own with one thread: the baseline at full size takes a few steps on
batches of several lengths. User and system time are those of the steps alone, after a first one.

Run: pytest benchmarks/bench_allocator.py --benchmark-enable -s
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.training.allocator import freed_memory_kept
from benchmarks.bench_cgdetr import our_step, problem

ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """What some steps cost.

    Attributes:
        user: User time in seconds.
        system: System time in seconds.
        faults: Page faults.
        peak: Largest resident memory of the process in MiB.
    """

    user: float
    system: float
    faults: float
    peak: float


def cost_of(batch: int, lengths: tuple[int, ...], *, kept: bool) -> Cost:
    """Return the cost of one step for each length, in frames."""
    torch.set_num_threads(1)
    steps = {frames: our_step(problem(batch, frames)) for frames in dict.fromkeys(lengths)}
    with freed_memory_kept() if kept else nullcontext():
        steps[max(lengths)]()
        before = resource.getrusage(resource.RUSAGE_SELF)
        for frames in lengths:
            steps[frames]()
        after = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(
        user=after.ru_utime - before.ru_utime,
        system=after.ru_stime - before.ru_stime,
        faults=after.ru_minflt - before.ru_minflt,
        peak=after.ru_maxrss / 1024,
    )


@pytest.fixture
def fresh() -> Iterator[ProcessPoolExecutor]:
    """Processes that do one task each."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield pool


def costs_in_turns(
    fresh: ProcessPoolExecutor, batch: int, lengths: tuple[int, ...]
) -> dict[bool, list[Cost]]:
    """Return the costs with and without freed memory kept."""
    both: dict[bool, list[Cost]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for kept, costs in both.items():
            costs.append(fresh.submit(cost_of, batch, lengths, kept=kept).result())
    return both


@pytest.mark.parametrize(
    ("batch", "lengths"),
    [(32, (60,) * 3), (16, (180, 150, 171))],
    ids=["60 frames", "180 frames"],
)
def test_steps(
    benchmark: BenchmarkFixture, fresh: ProcessPoolExecutor, batch: int, lengths: tuple[int, ...]
) -> None:
    if not benchmark.enabled:
        pytest.skip("only its figures matter")
    both = benchmark.pedantic(lambda: costs_in_turns(fresh, batch, lengths), rounds=1)
    for kept, costs in both.items():
        middle = {name: median(vars(cost)[name] for cost in costs) for name in vars(costs[0])}
        benchmark.extra_info["kept" if kept else "defaults"] = middle
        print(f"\n{'kept' if kept else 'defaults'}: user {middle['user']:.1f} s, system "
              f"{middle['system']:.2f} s, {middle['faults']:.0f} page faults, "
              f"{middle['peak']:.0f} MiB at most", end="")  # fmt: skip
    ratios = [
        (plain.user + plain.system) / (kept.user + kept.system)
        for kept, plain in zip(both[True], both[False], strict=True)
    ]
    benchmark.extra_info["ratio"] = median(ratios)
    print(f"; processor time {median(ratios):.2f} times less ({', '.join(f'{r:.2f}' for r in ratios)})")
