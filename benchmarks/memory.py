"""Peak memory of training steps, each measured in a process of its own.

Run: python -m benchmarks.memory (full size), or python -m benchmarks.memory --small
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from tabulate import tabulate

from amrbench.training.loop import memory_mib
from benchmarks.implementations import OTHERS, OURS, VARIABLE
from benchmarks.interleaved import numerics_of_training
from benchmarks.problems import FULL, QUICK, problem, reference_weights
from tests.folders import ROOT

STEPS = 2
"""The second has the state of the optimizer from its beginning."""


@dataclass(frozen=True)
class Peak:
    """MiB of a process: with its packages, model and batch before the steps, and at the most."""

    before: float
    most: float

    @property
    def of_steps(self) -> float:
        """Return what the steps needed in addition."""
        return self.most - self.before


def peak_of_step(name: str, batch: int, frames: int) -> Peak:
    """Take training steps of an implementation in a new process with one thread."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", name, str(batch), str(frames)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"a step of {name} at {batch} x {frames} failed:\n{ran.stderr}")
    return Peak(**json.loads(ran.stdout.splitlines()[-1]))


def child(name: str, batch: int, frames: int) -> None:
    """Take the steps in this process and print its memory."""
    implementation = OURS if name == "ours" else OTHERS[name]()
    step = implementation.training_step(problem(batch, frames), reference_weights())
    before = memory_mib()
    with numerics_of_training():
        for _ in range(STEPS):
            step()
    print(json.dumps({"before": before, "most": memory_mib()}))


def main(arguments: list[str] | None = None) -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a small batch, to try the command")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, batch, frames = options.child
        child(name, int(batch), int(frames))
        return
    names = [name for name in OTHERS if name != "outside" or os.environ.get(VARIABLE)]
    rows = []
    for batch, frames in QUICK if options.small else FULL:
        own = peak_of_step("ours", batch, frames)
        for name in names:
            other = peak_of_step(name, batch, frames)
            ratios = [own.most / other.most, own.of_steps / other.of_steps]
            numbers = [own.most, other.most, own.of_steps, other.of_steps]
            rows.append([f"({batch}, {frames})", name, *(f"{number:,.0f}" for number in numbers),
                         *(f"{ratio:.2f}" for ratio in ratios)])  # fmt: skip
    headers = ["queries, frames", "other", "ours MiB", "other MiB", "steps, ours", "steps, other",
               "ours / other", "of steps"]  # fmt: skip
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
