"""How time grows with queries, length of recordings, seeds and number of recordings, on one thread.

A slope of 1 is proportional growth, one of 2 quadratic: the least-squares line through the logarithms of size
and time. The smallest sizes have what does not depend on the size.

Run: python -m benchmarks.growth [queries] [frames] [seeds] [recordings] [--small]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from amrbench.data.feature_dataset import load_dataset
from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.evaluation.score_files import score_files
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.files.predictions import write_predictions
from amrbench.files.weights import write_weights
from amrbench.slots.model import Limits
from amrbench.types import Query
from amrbench_plugins.soups.parts import Uniform
from benchmarks.bench_soups import File, Improving
from benchmarks.drawn_predictions import drawn_predictions, drawn_truth
from benchmarks.implementations import OURS
from benchmarks.interleaved import Work, in_milliseconds, numerics_of_training, seconds
from benchmarks.ours import criterion_of, shipped_recipe
from benchmarks.problems import WIDTH, WORDS, problem, reference_weights

ROUNDS = 3
FRAMES_OF_A_RECORDING, QUERIES_OF_A_RECORDING = 60, 2
QUERIES_OF_A_BATCH = 32


@dataclass(frozen=True)
class Axis:
    """What grows.

    Attributes:
        does: What is timed.
        full: Sizes.
        small: Sizes to try the command.
        prepared: From a folder and a size to the work.
    """

    does: str
    full: Sequence[int]
    small: Sequence[int]
    prepared: Callable[[Path, int], Work]


def scoring(folder: Path, queries: int) -> Work:
    predictions, truth = folder / "predictions.jsonl", folder / "truth.jsonl"
    write_predictions(predictions, drawn_predictions(queries))
    write_annotations(truth, drawn_truth(queries))
    return lambda: score_files(predictions, truth)


def predicting(_: Path, frames: int) -> Work:
    return OURS.prediction(problem(1, frames), reference_weights())


def averaging(state: Callable[[], Mapping[str, Tensor]]) -> Callable[[Path, int], Work]:
    """Return what makes a uniform soup of models with tensors of these shapes."""

    def prepared(folder: Path, seeds: int) -> Work:
        shapes = {name: value.shape for name, value in state().items()}
        files = [File(folder / f"seed {seed}.safetensors") for seed in range(seeds)]
        for file in files:
            write_weights(file.path, {name: torch.randn(shape) for name, shape in shapes.items()}, {})
        return lambda: Uniform().build()(files, Improving(frozenset()))

    return prepared


def baseline() -> Mapping[str, Tensor]:
    """Return the tensors of the baseline and its losses, at full size."""
    return criterion_of(shipped_recipe()).state_dict()


def loading(folder: Path, recordings: int) -> Work:
    """Open and check a feature file, and make all batches of an epoch."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(FRAMES_OF_A_RECORDING, WIDTH)).astype(np.float32)
    queries = [
        Query(f"q{n}", f"text {n}", f"v{n % recordings}", float(FRAMES_OF_A_RECORDING), ())
        for n in range(QUERIES_OF_A_RECORDING * recordings)
    ]
    audio = InMemoryTable(tuple(f"v{n}" for n in range(recordings)), (rows,) * recordings)
    text = InMemoryTable(tuple(query.query for query in queries), (rows[:WORDS],) * len(queries))
    header = FeatureHeader("drawn", "drawn", "0", 1.0, WIDTH, WIDTH)
    write_feature_file(folder / "features.h5", header, audio=audio, text=text)

    def epoch() -> None:
        file = open_feature_file(folder / "features.h5")
        source = FeatureSource(tuple(queries), (EncoderFeatures.of_file(file, "drawn"),))
        dataset = load_dataset([source], Limits(frames=300, words=32))
        for first in range(0, len(queries), QUERIES_OF_A_BATCH):
            dataset.batch(range(first, min(first + QUERIES_OF_A_BATCH, len(queries))))

    return epoch


AXES: Mapping[str, Axis] = {
    "queries": Axis("scoring a file of predictions", (1_000, 10_000, 100_000), (50, 100), scoring),
    "frames": Axis("predicting for one query", (60, 150, 300, 600, 900, 1_800), (30, 60), predicting),
    "seeds": Axis("a uniform soup of full size from files", (2, 5, 10, 25), (2, 3), averaging(baseline)),
    "recordings": Axis(
        "opening a feature file and making the batches of an epoch",
        (250, 500, 1_000, 2_000),
        (8, 16),
        loading,
    ),
}


@contextmanager
def prepared(axis: Axis, size: int) -> Iterator[Work]:
    """Make what the work reads in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield axis.prepared(Path(folder), size)


def measured(axis: Axis, sizes: Sequence[int]) -> list[float]:
    """Return the processor seconds of each size: the median after one call."""
    times = []
    for size in sizes:
        with prepared(axis, size) as work, numerics_of_training():
            work()
            times.append(median(seconds(work) for _ in range(ROUNDS)))
    return times


def slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the exponent of the power law that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def table(name: str, sizes: Sequence[int], times: Sequence[float]) -> str:
    """Return the times of an axis as Markdown."""
    rows = [
        [f"{size:,}", in_milliseconds(time), f"{1e6 * time / size:,.0f}"]
        for size, time in zip(sizes, times, strict=True)
    ]
    headers = [name, "ms", f"us for one of the {name}"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=("right",) * 3)


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each axis."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"of {', '.join(AXES)}; all if left out")
    parser.add_argument("--small", action="store_true", help="small sizes, to try the command")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.axes if name not in AXES]:
        parser.error(f"no axis {unknown[0]!r}; there are {', '.join(AXES)}")
    for name in options.axes or AXES:
        axis = AXES[name]
        sizes = axis.small if options.small else axis.full
        times = measured(axis, sizes)
        print(f"\n{axis.does}: slope {slope(sizes, times):.2f}\n\n{table(name, sizes, times)}", flush=True)


if __name__ == "__main__":
    main()
