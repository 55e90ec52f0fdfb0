"""How often two prediction files are called different that only differ by chance.

In each recording the answers of two files are exchanged at random, so that none of the two can be better.
Then they are compared as by `amrbench compare` and `amrbench analyze`. Prints the share of draws with a
p-value below 0.05, by metric.

Run: python -m benchmarks.exchanged_answers ONE.jsonl TWO.jsonl --truth ANNOTATIONS.jsonl [--draws 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amrbench.evaluation.compare import METRICS, paired_differences
from amrbench.evaluation.systems import System, read_systems
from amrbench.functional.metrics import Metric

BELOW = 0.05


def exchanged(one: System, two: System, rng: np.random.Generator) -> list[System]:
    """Return two systems with the answers about half of the recordings exchanged."""
    names, recording = np.unique([query.vid for query in one.queries], return_inverse=True)
    swapped = rng.integers(2, size=len(names)).astype(bool)[recording][None, :, None]
    sides = one.singles.values, two.singles.values
    values = np.where(swapped, sides[1], sides[0]), np.where(swapped, sides[0], sides[1])
    return [
        replace(system, singles=replace(system.singles, values=own))
        for system, own in zip((one, two), values, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs=2, type=Path)
    parser.add_argument("--truth", required=True, type=Path)
    parser.add_argument("--draws", type=int, default=200)
    given = parser.parse_args(arguments)
    metrics = [Metric.parse(name) for name in METRICS]
    one, two = read_systems(given.files, metrics, truth=given.truth)
    below = np.zeros(len(metrics))
    for draw in range(given.draws):
        first, second = exchanged(one, two, np.random.default_rng(draw))
        below += [own.p < BELOW for own in paired_differences(second, second.singles, first)]
    shares = {metric.name: float(share) for metric, share in zip(metrics, below / given.draws, strict=True)}
    for name, share in shares.items():
        print(f"{name}: p < {BELOW} in {100 * share:.1f} % of {given.draws} draws")
    return shares


if __name__ == "__main__":
    main()
