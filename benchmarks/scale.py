"""How long the submission protocol and the extraction of much audio take on 1, 8 and 100 machines.

The stages are those of the recipes under the protocol `dcase2026`, with the sizes of the published data. When
they are trained is what the real scheduler does in simulated time; what a step takes is given.

Run: python -m benchmarks.scale
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from amrbench.config.load import Method, find, load_protocol, load_recipe
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsInMemory
from amrbench.data.required_splits import FeatureRequest
from amrbench.discovery import load_registry
from amrbench.evaluation.text_table import table_body
from amrbench.experiment.plan import RunRequest, plan_run
from amrbench.registry import Registry
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.types import FeatureWidths
from amrbench_plugins.simulated.parts import SimulatedData
from amrbench_plugins.simulated.recordings import SimulatedDataset
from tests.small_world.simulated_machines import Machine, World

RECIPES = ("ours1", "ours2", "ours3", "ours4")
PROTOCOL = "dcase2026"
SHAPES = {"pretrain": "clotho-moment", "midtrain": "intermediate300", "target": "castella"}
DAY, HOUR = 86_400.0, 3_600.0
MACHINES = (1, 8, 100)
PROCESSES = (1, 16)
"""On each machine."""
TICK = 60.0
"""Seconds between two looks of the scheduler; it looks more often than that."""

SPEEDS = {"m2d-clap": (768, 16.8), "clap": (768, 5.3), "laion-clap": (512, 2.4)}
"""Width of a row, and seconds of audio that a core encodes in a second: docs/encoders.md."""
HOURS = (10**5, 10**6)
RECORDING = 300
"""Seconds of a recording."""
SHARD = 200
"""Recordings of a shard, which is one task."""
CORES = 16
"""Of a machine."""
HALF = 2
"""Bytes of a number in half precision."""
Row = dict[str, str]


@dataclass(frozen=True)
class Schedule:
    """What some machines do.

    Attributes:
        machines: Their number.
        processes: On each of them.
        seconds: Until the last stage is trained.
        busy: Share of this time in which a process trains.
    """

    machines: int
    processes: int
    seconds: float
    busy: float


def chains_of(
    recipes: Sequence[str], registry: Registry, *, seeds: int = 0, scale: float = 1.0
) -> list[StageSpec]:
    """Return the last stage of each chain of some recipes, on data that has sizes and nothing else.

    Args:
        recipes: Names of shipped recipes.
        registry: Of the parts.
        seeds: In place of the protocol's.
        scale: Of the number of recordings.
    """
    file = find("protocol", PROTOCOL)
    given = load_protocol(file, registry)
    sized = {role: SimulatedData(shape=shape, scale=scale) for role, shape in SHAPES.items()}
    update = {"data": given.data.model_copy(update=sized), "seeds": seeds or given.seeds}
    protocol = given.model_copy(update=update)
    chains: list[StageSpec] = []
    sources: dict[str, FeatureSource] = {}
    for name in recipes:
        recipe = load_recipe(find("recipe", name), registry)
        request = RunRequest(Method(file, b"", recipe), protocol, file, registry, "cpu")
        for split in request.splits.all:
            if split.key not in sources and isinstance(split.dataset, SimulatedData):
                sources[split.key] = _source(split)
        chains += plan_run(request, sources).chains
    return chains


def _source(split: FeatureRequest) -> FeatureSource:
    """Return a split with queries and without rows."""
    dataset = split.dataset.build()
    assert isinstance(dataset, SimulatedDataset)
    recordings = range(dataset.size(split.split))
    queries = [query for index in recordings for query in dataset.source.queries(split.split, index)]
    features = EncoderFeatures(
        location=split.key,
        encoder="any",
        hop=1.0,
        widths=FeatureWidths(768, 768),
        fingerprint=split.key,
        audio=RowsInMemory({}),
        text=RowsInMemory({}),
        text_by="sentence",
    )
    return FeatureSource(tuple(queries), (features,))


def steps_of(spec: StageSpec) -> int:
    """Return the optimizer steps of a stage."""
    queries = sum(len(source.queries) for source in spec.train)
    return spec.stage.epochs * -(-queries // spec.recipe.training.batch)


def work_of(chains: Sequence[StageSpec], step_seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each stage by its name, from those of a step by the shape of its data."""
    return {
        spec.name: steps_of(spec) * step_seconds[SHAPES[spec.stage.data]] for spec in distinct_stages(chains)
    }


def schedule(
    chains: Sequence[StageSpec], work: Mapping[str, float], machines: int, processes: int
) -> Schedule:
    """Let the scheduler train stages on machines in simulated time."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder), chains, work, TICK)
        trains = [Machine(f"m{number}", processes) for number in range(machines)]
        world.command(Machine("head", 0), trains)
        seconds = world.run()
    return Schedule(machines, processes, seconds, sum(work.values()) / (seconds * machines * processes))


def longest_chain(chains: Sequence[StageSpec], work: Mapping[str, float]) -> float:
    """Return the seconds of the longest chain, which no number of machines shortens."""
    names = {spec.key: spec.name for spec in distinct_stages(chains)}
    return max(sum(work[names[own.key]] for own in last.chain) for last in chains)


def stage_rows(chains: Sequence[StageSpec], work: Mapping[str, float]) -> list[Row]:
    """Return a row for each recipe and stage: how many there are, and what one takes."""
    kinds: dict[str, list[StageSpec]] = {}
    for spec in distinct_stages(chains):
        kinds.setdefault(f"{spec.recipe.name} {spec.stage.name}", []).append(spec)
    return [
        {
            "stages": name,
            "number": str(len(specs)),
            "steps of one": f"{steps_of(specs[0]):,}",
            "days of one": f"{work[specs[0].name] / DAY:.1f}",
            "days of all": f"{sum(work[spec.name] for spec in specs) / DAY:.1f}",
        }
        for name, specs in kinds.items()
    ]


def schedule_rows(chains: Sequence[StageSpec], work: Mapping[str, float]) -> Iterator[Row]:
    """Yield a row for each number of machines and processes."""
    total, longest = sum(work.values()), longest_chain(chains, work)
    for machines, processes in product(MACHINES, PROCESSES):
        done = schedule(chains, work, machines, processes)
        yield {
            "machines": str(machines),
            "processes on each": str(processes),
            "days": f"{done.seconds / DAY:.1f}",
            "days at least": f"{max(total / (machines * processes), longest) / DAY:.1f}",
            "busy": f"{done.busy:.0%}",
        }


def extraction_rows() -> Iterator[Row]:
    """Yield a row for each number of hours and each encoder."""
    for hours, (name, (width, speed)) in product(HOURS, SPEEDS.items()):
        seconds = hours * HOUR
        shards = math.ceil(seconds / RECORDING / SHARD)
        size, one = seconds * width * HALF, seconds / speed / shards
        times = {
            f"{machines} machine{'s' * (machines > 1)}": in_words(
                math.ceil(shards / (CORES * machines)) * one
            )
            for machines in MACHINES
        }
        yield {
            "hours of audio": f"{hours:,}",
            "encoder": name,
            "rows": f"{seconds:.1e}",
            "bytes": f"{size / 1e12:.2f} TB",
            "shards": f"{shards:,} of {size / shards / 1e6:.0f} MB",
            "a shard": in_words(one),
            **times,
        }


def in_words(seconds: float) -> str:
    """Return e.g. "3.5 days" or "12 minutes"."""
    for unit, length in (("years", 365 * DAY), ("days", DAY), ("hours", HOUR), ("minutes", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step-60", type=float, default=2.5, help="seconds of a step at 60 rows")
    parser.add_argument("--step-300", type=float, default=16.0, help="seconds of a step at up to 300 rows")
    given = parser.parse_args()
    steps = {"clotho-moment": given.step_60, "intermediate300": given.step_300, "castella": given.step_300}
    chains = chains_of(RECIPES, load_registry())
    work = work_of(chains, steps)
    print(table_body("github", stage_rows(chains, work), ["left"] + ["right"] * 4))
    days, longest = sum(work.values()) / DAY, longest_chain(chains, work) / DAY
    print(f"\n{len(work)} stages, {days:.1f} days of a core; the longest chain: {longest:.1f} days\n")
    print(table_body("github", list(schedule_rows(chains, work)), ["right"] * 5))
    print()
    print(table_body("github", list(extraction_rows()), ["right", "left"] + ["right"] * (4 + len(MACHINES))))


if __name__ == "__main__":
    main()
