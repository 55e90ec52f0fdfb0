"""Half-widths of the intervals of `amrbench compare` against CPU hours, from finished runs.

The runs are under a protocol whose seeds have chains of their own; each is compared with the first. A row has
the median over some subsets of chains of both. Further rows are what is expected of more chains, and the last
what the recordings leave. Below it, the chains that tell apart two recipes which differ by some points. Hours
are those of training and validation, one for each thread.

Run: python -m benchmarks.power RUN RUN ... [--metric R1@0.7] [--points 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from amrbench.errors import RunError
from amrbench.evaluation.compare import METRICS, share_chains
from amrbench.evaluation.result import Result, refuse_mixed
from amrbench.evaluation.systems import System, read_system
from amrbench.evaluation.text_table import format_table
from amrbench.functional.bootstrap import Difference, chain_differences
from amrbench.functional.metrics import Metric
from amrbench.functional.power import SHARE, HalfWidth, half_widths

SUBSETS = 20
"""Most subsets of chains of a size."""
DRAWS = 2000
TIMES = (2, 4, 8)
"""How many times the chains there are the expected rows have."""


def hours_of_chains(result: Result) -> list[float]:
    """Return the CPU hours of the chain of each seed of a run."""
    chains = result.chains().values()
    seconds = [sum(stage.seconds for stage in result.stages if stage.key in keys) for keys in chains]
    return [each * result.environment.threads / 3600 for each in seconds]


def subsets(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield at most `SUBSETS` random subsets of some chains; all of them once."""
    for _ in range(1 if size == count else SUBSETS):
        yield sorted(rng.permutation(count)[:size].tolist())


class Pair:
    """The chains of two runs, with as many of one as of the other."""

    def __init__(self, one: System, two: System, metrics: Sequence[Metric]) -> None:
        self.title = f"{one.name} and {two.name}"
        self.metrics = metrics
        self.recordings = [query.vid for query in one.queries]
        self.count = min(len(one.singles.values), len(two.singles.values))
        self.sides = [system.singles.values[: self.count] for system in (one, two)]
        results = [system.result for system in (one, two) if system.result]
        self.hours = sum(float(np.mean(hours_of_chains(result))) for result in results)

    def differences(self, first: Sequence[int], second: Sequence[int]) -> list[Difference]:
        """Return the differences of some chains, one for each metric."""
        one, two = self.sides
        return chain_differences(one[first], two[second], self.recordings, draws=DRAWS)

    def measured(self, size: int) -> list[float]:
        """Return the median half-width of subsets with some chains, for each metric."""
        rng = np.random.default_rng(size)
        picks = zip(subsets(self.count, size, rng), subsets(self.count, size, rng), strict=True)
        widths = [[(own.high - own.low) / 2 for own in self.differences(*pick)] for pick in picks]
        return [float(width) for width in np.median(widths, axis=0)]

    def expected(self) -> list[HalfWidth]:
        """Return the half-width by the number of chains, for each metric, from all chains."""
        every = list(range(self.count))
        return half_widths(*self.sides, self.recordings, self.differences(every, every))

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the table."""
        expected = self.expected()
        measured = {str(size): self.measured(size) for size in range(2, self.count + 1)}
        more = {size: [width.at(size, size) for width in expected] for size in self.more()}
        names = [metric.name for metric in self.metrics]

        def row(chains: str, size: int | None, widths: Sequence[float]) -> dict[str, str]:
            hours = f"{size * self.hours:.1f}" if size else ""
            cells = {name: f"{width:.1f}" for name, width in zip(names, widths, strict=True)}
            return {"chains of both": chains, "CPU hours": hours} | cells

        return [
            *(row(size, int(size), widths) for size, widths in measured.items()),
            *(row(f"{size}, expected", size, widths) for size, widths in more.items()),
            row("any number", None, [width.recordings for width in expected]),
        ]

    def more(self) -> list[int]:
        """Return the numbers of chains of the expected rows."""
        return [times * self.count for times in TIMES]

    def told_apart(self, points: float) -> list[str]:
        """Return a sentence for each metric: how many chains tell some points apart."""
        sentences = []
        for metric, width in zip(self.metrics, self.expected(), strict=True):
            settling = width.to_settle(points, 1, 1)
            chains = 1 + settling.count if settling.count else 0
            needed = f"{chains} chains of both, {chains * self.hours:.1f} CPU hours" if chains else settling
            sentences.append(f"{points:g} points at {metric.name}: {needed}")
        return sentences


def main(arguments: Sequence[str] | None = None) -> list[Pair]:
    """Print a table for each pair of runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--metric", action="append", help="may be given several times")
    parser.add_argument("--points", type=float, default=5.0)
    options = parser.parse_args(arguments)
    metrics = [Metric.parse(name) for name in options.metric or METRICS]
    first, *others = (chains_of(path, metrics) for path in options.runs)
    refuse_mixed({str(own.location): own.result for own in (first, *others) if own.result})
    for other in others:
        refuse_shared(first, other)
    pairs = [Pair(first, other, metrics) for other in others]
    for pair in pairs:
        notes = [
            f"Half-widths of 95 % intervals in points: {pair.title}. Told apart in "
            f"{100 * SHARE:.0f} % of the cases:",
            *pair.told_apart(options.points),
        ]
        print(format_table("github", notes, pair.rows(), align=["left", *["right"] * (1 + len(metrics))]))
        print()
    return pairs


def chains_of(path: Path, metrics: Sequence[Metric], least: int = 2) -> System:
    """Read a run with chains of its own, at least so many."""
    system = read_system(path, metrics)
    refuse_without_chains(path, system.result, least)
    return system


def refuse_without_chains(path: Path, result: Result | None, least: int = 2) -> None:
    """Raise RunError unless this is the result of a run with chains of its own, at least so many."""
    if result is None or result.protocol.chains != "own" or len(result.models) < least:
        seeds = "several seeds" if least > 1 else "seeds"
        raise RunError(f"{path}: no run of {seeds} with chains of their own (chains: own).")


def refuse_shared(first: System, other: System) -> None:
    """Raise RunError if two runs share stages: then differences are those of pairs, and vary less."""
    if share_chains(first, other):
        raise RunError(
            f"{other.location}: shares stages with {first.location}, seed by seed. "
            "Give runs that were trained apart."
        )


if __name__ == "__main__":
    main()
