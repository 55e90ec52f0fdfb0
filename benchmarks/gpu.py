"""What a training step costs on a GPU, in one table: as trained, in half precision, as graphs, many at once.

A step as trained is in float32, with deterministic algorithms where there are any and the check of its
losses; the other rows have neither, and `amrbench run` offers none of TF32, bfloat16 and graphs. The floor is
the time that the memory of the device needs for all that the kernels of one step read and write once in
float32 (`operations`), at the speed of a large copy in the same run. A second table has the time that
training the recipe ours3 would take by the protocol castella, on data as large as that of `simulated`.

Run: python -m benchmarks.gpu (meant to take less than eight minutes), or with --device cpu --small
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import torch
from tabulate import tabulate

from amrbench.config.load import load_protocol
from amrbench.config.recipe import Recipe
from amrbench.discovery import load_registry
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import to_device
from amrbench.training.step_check import StepCheck
from amrbench.types import Batch, Losses, Target
from amrbench_plugins.simulated.marginals import SHAPES
from benchmarks import ours
from benchmarks.captured_step import StaticStep, captured_step
from benchmarks.interleaved import Work
from benchmarks.model_arrays import step_of_array
from benchmarks.operations import operations_on_meta
from benchmarks.problems import on_meta, problem

WARM_UP, ROUNDS, LIMIT = 3, 20, 6.0
"""Calls before the clock runs, most calls that are timed, and seconds after which no more are."""
COPIED = 256 * 2**20
"""Bytes."""
STEPS_OF_OPTIMIZER = 5
"""Steps that are timed together, because periodic ASAM does more in every fifth."""


@dataclass(frozen=True)
class Size:
    """A batch: its queries, and the frames of each recording."""

    batch: int
    frames: int

    def on(self, device: torch.device) -> tuple[Batch, Target]:
        """Return inputs and ground truth on a device."""
        given = problem(self.batch, self.frames)
        return to_device(given.batch, device), to_device(given.target, device)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    sizes: tuple[Size, ...]
    models: tuple[int, ...]
    rounds: int


FULL = Scale((Size(32, 60), Size(32, 300)), (1, 5, 25), ROUNDS)
SMALL = Scale((Size(2, 30),), (1, 2), 1)


@contextmanager
def tf32(_: torch.device) -> Iterator[None]:
    """Let products of float32 be rounded to TF32, where the device can."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def as_in_training(device: torch.device) -> AbstractContextManager[None]:
    """Have the settings of a stage."""
    return fixed_numerics(torch.get_num_threads(), device.type)


@dataclass(frozen=True)
class Variant:
    """A way to take a step: how it is made, of how many models at once, and with which settings of torch."""

    name: str
    make: Callable[[Size, torch.device], Work]
    models: int = 1
    settings: Callable[[torch.device], AbstractContextManager[None]] = tf32


@dataclass(frozen=True)
class Row:
    """Seconds of a step of a variant and its peak memory in GiB, or why there is none."""

    size: Size
    variant: Variant
    seconds: float = 0.0
    memory: float = 0.0
    fault: str = ""


def trained(recipe: Recipe, size: Size, device: torch.device) -> Work:
    """Return a step as training takes it, on a batch that is on the device."""
    criterion = ours.criterion_of(recipe).to(device)
    given, check = size.on(device), StepCheck(criterion)
    step = ours.updater_of(recipe, criterion).step

    def work() -> None:
        check.begin(0, check.steps, *given)
        step(check.losses)

    return work


def eager(recipe: Recipe, size: Size, device: torch.device, *, half: bool = False) -> Work:
    """Return a step without the check of its losses."""
    criterion = ours.criterion_of(recipe).to(device)
    batch, target = size.on(device)

    def losses() -> Losses:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return criterion(batch, target)

    return partial(ours.updater_of(recipe, criterion).step, losses)


def captured(recipe: Recipe, size: Size, device: torch.device, *, half: bool = False) -> Work:
    """Return a step as CUDA graphs."""
    criterion = ours.criterion_of(recipe).to(device)
    return captured_step(StaticStep(criterion, *size.on(device), clip=recipe.training.clip, half=half))


def at_once(models: int, recipe: Recipe, size: Size, device: torch.device) -> Work:
    """Return a step of several models."""
    criteria = [ours.criterion_of(recipe).to(device) for _ in range(models)]
    return step_of_array(recipe, criteria, *size.on(device))


def variants(recipe: Recipe, models: Sequence[int]) -> list[Variant]:
    """Return what is measured."""
    return [
        Variant("as trained", partial(trained, recipe), settings=as_in_training),
        Variant("eager, TF32", partial(eager, recipe)),
        Variant("eager, bfloat16", partial(eager, recipe, half=True)),
        Variant("graphs, TF32", partial(captured, recipe)),
        Variant("graphs, bfloat16", partial(captured, recipe, half=True)),
        *(Variant("at once, TF32", partial(at_once, count, recipe), count) for count in models),
    ]


def measured(variant: Variant, size: Size, device: torch.device, rounds: int) -> Row:
    """Time a variant; what the device or a part does not allow becomes the reason in the row."""
    try:
        with variant.settings(device):
            seconds = step_seconds(variant.make(size, device), device, rounds)
        memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
        return Row(size, variant, seconds, memory)
    except Exception as error:  # One variant that fails must not cost the others.
        return Row(size, variant, fault=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def step_seconds(step: Work, device: torch.device, rounds: int) -> float:
    """Return the median seconds of a step on the wall; the device has finished before and after each."""
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    for _ in range(min(WARM_UP, rounds)):
        step()
    wait()
    times: list[float] = []
    while len(times) < rounds and sum(times) < LIMIT:
        start = perf_counter()
        step()
        wait()
        times.append(perf_counter() - start)
    return median(times)


def bytes_of_step(recipe: Recipe, size: Size) -> int:
    """Return the bytes that the kernels of forward and backward pass read and write once, in float32."""
    criterion = ours.criterion_of(recipe).to("meta")
    with operations_on_meta() as operations:
        criterion(*on_meta(size.batch, size.frames)).total.backward()
    return operations.bytes


def bytes_a_second(device: torch.device) -> float:
    """Return what the memory of the device reads and writes in a large copy."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / step_seconds(lambda: target.copy_(source), device, ROUNDS)


def steps_of_stages(recipe: Recipe) -> Iterator[tuple[str, int, int]]:
    """Yield (stage, frames, steps) of a recipe by the protocol castella, on data of the true size."""
    registry = load_registry()
    simulated, seeds = load_protocol("simulated", registry), load_protocol("castella", registry).seeds
    for stage in recipe.stages:
        split = SHAPES[getattr(simulated.data, stage.data).shape].splits["train"]
        queries = sum(count * number for count, number in enumerate(split.queries, 1))
        steps = -(-queries // recipe.training.batch) * stage.epochs
        frames = min(recipe.limits.frames, int(split.durations[-1]))
        yield stage.name, frames, steps * (seeds if stage.seeds == "many" else 1)


def projection(device: torch.device, small: bool) -> str:
    """Return the hours that the steps of ours3 would take, as trained, without data and validation."""
    recipe = ours.shipped_recipe("ours3")
    seconds: dict[int, float] = {}
    rows, total = [], 0.0
    for stage, frames, steps in steps_of_stages(recipe):
        if frames not in seconds:
            size = Size(2, 30) if small else Size(recipe.training.batch, frames)
            five = Variant("", lambda *args: repeated(trained(recipe, *args)), settings=as_in_training)
            row = measured(five, size, device, 1 if small else ROUNDS // STEPS_OF_OPTIMIZER)
            if row.fault:
                return f"ours3 was not possible: {row.fault}"
            seconds[frames] = row.seconds / STEPS_OF_OPTIMIZER
        hours = steps * seconds[frames] / 3600
        total += hours
        rows.append([stage, frames, f"{steps:,}", f"{1000 * seconds[frames]:,.1f}", f"{hours:,.1f}"])
    rows.append(["all", "", "", "", f"{total:,.1f}"])
    headers = ["stage of ours3", "frames", "steps", "ms a step", "hours"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def repeated(step: Work) -> Work:
    """Return several steps as one."""
    return lambda: [step() for _ in range(STEPS_OF_OPTIMIZER)]


def table(rows: Sequence[Row], floors: dict[Size, float]) -> str:
    """Return the measured rows as Markdown, and why some have no numbers; `floors` are in seconds."""
    cells, faults = [], dict.fromkeys(f"{row.variant.name}: {row.fault}" for row in rows if row.fault)
    for row in rows:
        size, count = f"({row.size.batch}, {row.size.frames})", row.variant.models
        start = [size, row.variant.name, str(count)]
        if row.fault:
            cells.append([*start, "not possible", "", "", ""])
            continue
        floor = f"{row.seconds / (count * floors[row.size]):.1f}"
        memory = f"{row.memory:.1f}" if row.memory else ""
        cells.append([*start, f"{1000 * row.seconds:,.1f}", f"{count / row.seconds:,.1f}", floor, memory])
    headers = ["queries, frames", "step", "models", "ms", "steps of a model/s", "times the floor", "GiB"]
    text = tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)
    return "\n".join([text, *(f"Not possible: {fault}" for fault in faults)])


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the command")
    parser.add_argument("--small", action="store_true", help="a small batch, two models and one round")
    options = parser.parse_args(arguments)
    device, scale = torch.device(options.device), SMALL if options.small else FULL
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU; --device cpu --small tries the command without one")
    recipe, rate = ours.shipped_recipe(), bytes_a_second(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}; copies {rate / 1e9:,.0f} GB/s", flush=True)
    floors = {size: bytes_of_step(recipe, size) / rate for size in scale.sizes}
    rows = [
        measured(variant, size, device, scale.rounds)
        for size in scale.sizes
        for variant in variants(recipe, scale.models)
    ]
    print(f"\n{table(rows, floors)}\n", flush=True)
    print(projection(device, options.small))


if __name__ == "__main__":
    main()
