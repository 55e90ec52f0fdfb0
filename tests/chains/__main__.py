"""Train eight chains in each way that there is, and compare what they leave: `python -m tests.chains`.

The chains share no stage. Each way has a store of its own with the same data; times do not include the data.
Ways that need Ray or submitit are left out, and named, where these are not installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tabulate import tabulate

from tests.folders import ROOT
from tests.plugin_site import write_plugin
from tests.small_world.runs import what_runs_left

PROTOCOL = Path(__file__).with_name("small.yaml")
PLUGIN = '''"""Data sets of a few recordings."""
from amrbench import hookimpl
from tests.golden.shortened import Shortened

@hookimpl
def amrbench_parts():
    return [Shortened]
'''
LOOK_SECONDS = 0.5


class Machine:
    """Starts `amrbench run` in folders that have the data."""

    def __init__(self, folder: Path, seeds: int) -> None:
        (site := folder / "site").mkdir()
        write_plugin(site, "shortened", PLUGIN)
        self.folder = folder
        self.seeds = seeds
        paths = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def prepare(self) -> None:
        """Make the data of all ways."""
        self.run("data", "--seeds", "1")
        shutil.rmtree(self.folder / "data" / "cache" / "stages")

    def begin(self, name: str, *options: str) -> subprocess.Popen:
        """Begin the run of a way."""
        folder = self.folder / name
        if name != "data" and not folder.exists():
            shutil.copytree(self.folder / "data" / "cache", folder / "cache")
        command = ["run", "cgdetr", "--protocol", str(PROTOCOL), "--seeds", str(self.seeds), *options]
        return subprocess.Popen(
            [sys.executable, "-m", "amrbench", *command],
            cwd=folder if folder.exists() else self._made(folder),
            env={**self.environment, "AMRBENCH_CACHE": str(folder / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str, *options: str, meanwhile: Callable[[Path], None] | None = None) -> None:
        """Run a way to its end; `meanwhile` is called with its folder again and again."""
        end(self.begin(name, *options), lambda: meanwhile and meanwhile(self.folder / name))

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir()
        return folder


def end(process: subprocess.Popen, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait for a process."""
    while True:
        try:
            _, messages = process.communicate(timeout=LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            meanwhile()
    if process.returncode:
        raise RuntimeError(messages)


def finished_stages(folder: Path) -> int:
    """Return the number of stages that are in the store of a way."""
    return len(list((folder / "cache" / "stages").glob("*/SHA256SUMS")))


def two_processes(machine: Machine, name: str) -> None:
    """Give the same command twice at the same time."""
    for process in [machine.begin(name, "--jobs", "1") for _ in range(2)]:
        end(process)


@contextmanager
def cluster_of_two(machine: Machine) -> Iterator[tuple[object, object]]:
    """Offer a Ray cluster of two nodes with a core each, and the second of them."""
    from ray.cluster_utils import Cluster

    with patch.dict(os.environ, machine.environment):  # What trains on a node has the variables of the node.
        cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        _, second = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    try:
        yield cluster, second
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()


def on_ray(machine: Machine, name: str) -> None:
    """Train on two nodes."""
    with cluster_of_two(machine) as (cluster, _):
        machine.run(name, "--executor", f"{{use: ray, address: {cluster.address}}}")


def with_lost_node(machine: Machine, name: str) -> None:
    """Train on two nodes, of which one is lost when some stages are trained."""
    with cluster_of_two(machine) as (cluster, second):
        left = [second]

        def lose(folder: Path) -> None:
            if left and finished_stages(folder) >= machine.seeds // 2:
                cluster.remove_node(left.pop(), allow_graceful=False)

        machine.run(name, "--executor", f"{{use: ray, address: {cluster.address}}}", meanwhile=lose)
        if left:
            raise RuntimeError("the run ended before the node was lost")


@dataclass(frozen=True)
class Way:
    """A way of training; `needs` is the package without which it is left out."""

    name: str
    train: Callable[[Machine, str], None]
    needs: str = "torch"


WAYS = (
    Way("one process", lambda machine, name: machine.run(name, "--jobs", "1")),
    Way("two workers", lambda machine, name: machine.run(name, "--jobs", "2")),
    Way("two processes with the same command", two_processes),
    Way("Ray, two nodes", on_ray, "ray"),
    Way("Ray, one of two nodes lost", with_lost_node, "ray"),
    Way(
        "submitit, two jobs",
        lambda machine, name: machine.run(
            name, "--jobs", "2", "--executor", "{use: submitit, cluster: local}"
        ),
        "submitit",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a way took, and whether it left the files of the first."""

    way: str
    seconds: float
    same: bool


def outcomes(folder: Path, seeds: int, ways: Sequence[Way] = WAYS) -> Iterator[Outcome]:
    """Yield what each way took, with the data made before."""
    machine = Machine(folder, seeds)
    machine.prepare()
    expected = None
    for number, way in enumerate(ways):
        began = time.monotonic()
        way.train(machine, f"way-{number}")
        seconds = time.monotonic() - began
        left = what_runs_left(folder / f"way-{number}")
        expected = expected or left
        print(f"{way.name}: {seconds:.0f} s", file=sys.stderr)
        yield Outcome(way.name, seconds, left == expected)


def main() -> int:
    """Print the table; return 1 if one of the ways left other files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="number of chains")
    options = parser.parse_args()
    ways = [way for way in WAYS if find_spec(way.needs)]
    if missing := sorted({way.needs for way in WAYS if way not in ways}):
        print(f"not installed, and left out: {', '.join(missing)}")
    with TemporaryDirectory() as folder:
        found = list(outcomes(Path(folder), options.seeds, ways))
    rows = [
        {
            "trained by": one.way,
            "seconds": f"{one.seconds:.0f}",
            "share of the first": f"{one.seconds / found[0].seconds:.2f}",
            "files": "the same" if one.same else "DIFFERENT",
        }
        for one in found
    ]
    print(tabulate(rows, headers="keys", tablefmt="github"))
    return not all(one.same for one in found)


if __name__ == "__main__":
    sys.exit(main())
