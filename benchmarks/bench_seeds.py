"""Time of a training step of several models at once, against one model after another.

Run: python -m benchmarks.bench_seeds                     (small, on the CPU)
     python -m benchmarks.bench_seeds --device cuda       (full size)
     python -m benchmarks.bench_seeds --device cuda --recipe ours3 --frames 300 --models 1 2 5

First the losses of both ways are compared, without dropout. Then steps of both take turns in one process:
processor time on the CPU, wall time on a GPU. On the CPU runs train every seed alone, whatever this measures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import torch

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Budget, Recipe
from amrbench.discovery import load_registry
from amrbench.slots.optimizers import Updater
from amrbench.training.criterion import Criterion
from amrbench.training.model_array import CriterionArray, stack
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import to_device
from amrbench.training.step_check import StepCheck
from amrbench.types import Batch, Target
from benchmarks.interleaved import in_turns, seconds
from benchmarks.ours import criterion_of, updater_of
from benchmarks.problems import problem

DEVICE = "AMRBENCH_BENCH_DEVICE"
"""The environment variable with the device, where `--device` is not given."""
SMALL = Budget(width=32, feedforward=64, layers=1, dummies=3)
STEPS = 5
"""Steps that are timed together, because periodic ASAM does more in every fifth."""


@dataclass(frozen=True)
class Sizes:
    """What is trained, on what."""

    recipe: Recipe
    device: torch.device
    batch: int
    frames: int

    def criterion(self, seed: int) -> Criterion:
        return criterion_of(self.recipe, seed).to(self.device)

    def data(self) -> tuple[Batch, Target]:
        given = problem(self.batch, self.frames)
        return given.batch, given.target


@dataclass(frozen=True)
class Row:
    """The seconds of a step of several models, both ways, and the memory of a step at once."""

    models: int
    at_once: float
    one_after_another: float
    memory_mib: float

    def text(self) -> str:
        memory = f", {self.memory_mib:,.0f} MiB" if self.memory_mib else ""
        return (
            f"{self.models:>3} models: {1e3 * self.at_once:9.1f} ms at once, "
            f"{1e3 * self.one_after_another:9.1f} ms one after another, "
            f"ratio {self.one_after_another / self.at_once:.2f}{memory}"
        )


def measured(sizes: Sizes, models: int, rounds: int) -> Row:
    """Compare the losses of both ways, and time their steps in turns; medians over rounds."""
    data = sizes.data()
    batch, target = (to_device(stack([item] * models), sizes.device) for item in data)
    array = CriterionArray([sizes.criterion(seed) for seed in range(models)])
    if fault := array.fault(batch, target):
        raise SystemExit(f"these models cannot be trained at once: {fault}")
    at_once = _steps(array.train(), updater_of(sizes.recipe, array), batch, target)
    alone = []
    for seed in range(models):
        criterion = sizes.criterion(seed)
        own = (to_device(item, sizes.device) for item in data)
        alone.append(_steps(criterion, updater_of(sizes.recipe, criterion), *own))

    def one_after_another() -> None:
        for steps in alone:
            steps()

    cuda = sizes.device.type == "cuda"
    at_once(), one_after_another()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        at_once()
        torch.cuda.synchronize()
    memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0
    turns = in_turns(
        partial(_seconds, at_once, cuda=cuda), partial(_seconds, one_after_another, cuda=cuda), rounds
    )
    return Row(models, median(turns.fast) / STEPS, median(turns.slow) / STEPS, memory)


def _steps(module: Criterion, updater: Updater, batch: Batch, target: Target) -> Callable[[], None]:
    """Return a function that takes steps as training does, with the check of their values."""
    check = StepCheck(module)

    def run() -> None:
        for step in range(STEPS):
            check.begin(0, step, batch, target)
            updater.step(check.losses)

    return run


def _seconds(work: Callable[[], None], *, cuda: bool) -> float:
    if not cuda:
        return seconds(work)

    def finished() -> None:
        work()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    return seconds(finished, perf_counter)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Print a line for each number of models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default=os.environ.get(DEVICE, "cpu"))
    parser.add_argument("--recipe", default="cgdetr")
    parser.add_argument("--models", type=int, nargs="+", default=[1, 5, 25])
    parser.add_argument("--batch", type=int, help="queries; 32, and 2 on the CPU")
    parser.add_argument("--frames", type=int, help="60, and 20 on the CPU")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    small = device.type == "cpu"
    recipe = load_recipe(given.recipe, load_registry())
    sizes = Sizes(
        recipe=SMALL.of(recipe) if small else recipe,
        device=device,
        batch=given.batch or (2 if small else 32),
        frames=given.frames or (20 if small else 60),
    )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "one thread of the CPU"
    print(f"{given.recipe}, {sizes.batch} queries of {sizes.frames} rows, {name}")
    rows = []
    with fixed_numerics(1):
        for models in given.models:
            rows.append(measured(sizes, models, given.rounds))
            print(rows[-1].text(), flush=True)
    return rows


if __name__ == "__main__":
    main()
