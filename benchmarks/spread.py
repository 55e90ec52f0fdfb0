"""How far apart the chains of recipes end, by how the epoch of the last stage is chosen; from finished runs.

The runs are under a protocol whose seeds have chains of their own. For each way to choose, the values of all
chains on the selection split by the first read-out that is validated, and their standard deviation within a
recipe, pooled over the recipes.

Run: python -m benchmarks.spread RUN RUN ... [--metric R1@0.7]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from amrbench.evaluation.result import Result, read_result, refuse_mixed
from amrbench.evaluation.text_table import format_table
from amrbench.training.log import read_copy
from benchmarks.power import refuse_without_chains

CHOICES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "last epoch": lambda values: values[-1],
    "mean of the last quarter": lambda values: float(np.mean(values[-max(1, len(values) // 4) :])),
    "best epoch": max,
    "last epoch of the first half": lambda values: values[(len(values) - 1) // 2],
    "best epoch of the first half": lambda values: max(values[: (len(values) + 1) // 2]),
}
"""From the values of all epochs to one."""


def validated(folder: Path, result: Result, metric: str) -> list[list[float]]:
    """Return the values of each epoch of the last stage, for each chain of a run."""
    stages = {stage.key: stage for stage in result.stages}
    chains = [read_copy(folder / stages[key].log) for key in result.models.values()]
    return [[next(iter(epoch.val.values()))[metric] for epoch in epochs] for epochs in chains]


def pooled(chains: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation of chains within their recipes.

    Args:
        chains: One value for each chain, for each recipe.
    """
    return float(np.sqrt(np.mean([np.var(values, ddof=1) for values in chains])))


def main(arguments: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Print the table and return its rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--metric", default="R1@0.7")
    options = parser.parse_args(arguments)
    results = {path: read_result(path) for path in options.runs}
    for path, result in results.items():
        refuse_without_chains(path, result)
    refuse_mixed({str(path): result for path, result in results.items()})
    values = [validated(path, result, options.metric) for path, result in results.items()]
    rows = []
    for name, choose in CHOICES.items():
        chosen = [[choose(epochs) for epochs in chains] for chains in values]
        mean, spread = float(np.mean([np.mean(own) for own in chosen])), pooled(chosen)
        rows.append({"chosen": name, "mean": f"{mean:.1f}", "spread within a recipe": f"{spread:.1f}"})
    note = f"{options.metric} on the selection split, {len(values)} recipes."
    print(format_table("github", [note], rows, align=["left", "right", "right"]))
    return rows


if __name__ == "__main__":
    main()
