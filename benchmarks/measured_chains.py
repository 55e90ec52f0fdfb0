"""Tables of chains that were trained at different times or on different machines, with intervals.

`add` takes the chains of finished runs into `benchmarks/chains/PROTOCOL-VERSION.jsonl`: what each query
contributes to each metric. `table` compares recipes by all chains in that file, as `amrbench compare` does
with runs. So a table of hours of training is made again in seconds, and further chains can join it. `alike`
says how alike two chains of a recipe are, with one seed on two processors and with two seeds.

Run: python -m benchmarks.measured_chains add RUN ...
     python -m benchmarks.measured_chains table [RECIPE ...] --against ours1 [--protocol synthetic-chains-3]
     python -m benchmarks.measured_chains alike
"""

from __future__ import annotations

import argparse
import base64
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from amrbench.content_hash import content_hash
from amrbench.errors import RunError
from amrbench.evaluation.compare import METRICS
from amrbench.evaluation.result import PartRecord, Result
from amrbench.evaluation.systems import System
from amrbench.evaluation.text_table import format_table
from amrbench.functional.bootstrap import chain_differences, paired_chain_differences
from amrbench.functional.metrics import Metric
from amrbench.types import Floats
from benchmarks.power import chains_of

FOLDER = Path(__file__).parent / "chains"
BY_CHAIN = "R1@0.7"
COMPARED = ("R1@0.7", "mAP")
"""The metrics with a column for the difference, if no others are asked for."""


@dataclass(frozen=True)
class Conditions:
    """The first line of a file: what all its chains share.

    Attributes:
        conditions: Hash of what all runs of one table must share.
        recordings: The recording of each of the Q queries, as a number.
        metrics: Names of the M metrics.
    """

    conditions: str
    recordings: tuple[int, ...]
    metrics: tuple[str, ...] = METRICS


@dataclass(frozen=True)
class MeasuredChain:
    """A further line: one chain of a recipe.

    Attributes:
        recipe: Its name.
        made_by: Hash of the recipe's options, without name and description, and of the versions of its parts.
        seed: Name of the chain in its run, e.g. "seed 0".
        cpu: What trained it; another processor rounds differently, which gives another chain.
        stages: Keys of its stages.
        values: (Q, M) percent, as `packed`.
    """

    recipe: str
    made_by: str
    seed: str
    cpu: str
    stages: tuple[str, ...]
    values: str

    @property
    def origin(self) -> tuple[str, ...]:
        """Return what is equal for two trainings of one form of a recipe that give the same bits.

        Keys of stages also change with versions of parts that give other bits on other data alone.
        """
        return self.recipe, self.seed, self.cpu

    def shares_stages(self, other: MeasuredChain) -> bool:
        """Whether it has a stage in common with another chain."""
        return self.cpu == other.cpu and not {*self.stages}.isdisjoint(other.stages)


def packed(values: Floats) -> str:
    """Return an array as text: single precision, one column after another, compressed, base64."""
    return base64.b64encode(zlib.compress(values.astype("<f4").tobytes(order="F"), 9)).decode()


def unpacked(text: str, metrics: int) -> Floats:
    """Return the (Q, M) array of `packed`."""
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f4")
    return flat.reshape(metrics, -1).T.astype(np.float64)


def add(runs: Sequence[Path], folder: Path) -> None:
    """Add the chains of finished runs to the file of their protocol.

    Chains that are there stay, except those of another form of the same recipe.

    Raises:
        RunError: A run has no chains of its own, or does not belong to the others.
    """
    metrics = [Metric.parse(name) for name in METRICS]
    for run in runs:
        system = chains_of(run, metrics, least=1)
        assert system.result is not None  # `chains_of` refuses it.
        protocol = system.result.protocol
        file = folder / f"{protocol.name}-{protocol.version}.jsonl"
        own = Conditions(system.result.conditions, _recordings(system))
        conditions, chains = read(file) if file.exists() else (own, [])
        if own != conditions:
            raise RunError(f"{run}: its conditions are not those of {file}. Raise the protocol's version.")
        given = list(_chains(system, system.result))
        kept = [
            chain for chain in chains if chain.recipe != given[0].recipe or chain.made_by == given[0].made_by
        ]
        known = {chain.origin for chain in kept}
        new = [chain for chain in given if chain.origin not in known]
        write(file, conditions, [*kept, *new])
        print(f"{file.name}: {system.name}: {len(new)} chains added, {len(chains) - len(kept)} removed")


def read(file: Path) -> tuple[Conditions, list[MeasuredChain]]:
    """Read a file of chains."""
    if not file.exists():
        raise RunError(f"{file}: there is no such file. Add runs first.")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    first, *chains = ({name: _frozen(value) for name, value in line.items()} for line in lines)
    return Conditions(**first), [MeasuredChain(**chain) for chain in chains]


def write(file: Path, conditions: Conditions, chains: Sequence[MeasuredChain]) -> None:
    """Write a file of chains, sorted.

    Raises:
        RunError: Two chains of a recipe share a stage: then they are no two samples.
    """
    for one, two in combinations(chains, 2):
        if one.recipe == two.recipe and one.shares_stages(two):
            raise RunError(
                f"{one.recipe}: {one.seed} and {two.seed} share a stage, so they are no two chains."
            )
    ordered = sorted(chains, key=lambda chain: (chain.recipe, chain.seed, chain.cpu))
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(asdict(line)) + "\n" for line in (conditions, *ordered)))


def table(
    recipes: Sequence[str],
    against: str,
    protocol: str,
    folder: Path,
    compared: Sequence[str] = COMPARED,
    seeds: Collection[int] = (),
) -> str:
    """Return a table of some recipes, or of all, each compared with one of them by some metrics.

    Args:
        recipes: Their names; all of the file, if none is given.
        against: The recipe to compare them with.
        protocol: Name and version of the protocol.
        folder: Of the files of chains.
        compared: Metrics to compare by.
        seeds: Of the chains of `recipes` that count; all, if none is given. Those of `against` all count.

    Raises:
        RunError: A recipe has fewer than two chains.
    """
    conditions, chains = read(folder / f"{protocol}.jsonl")
    counted = [f"seed {seed}" for seed in seeds]
    chains = [chain for chain in chains if not seeds or chain.recipe == against or chain.seed in counted]
    counts = Counter(chain.recipe for chain in chains)
    names = list(dict.fromkeys([against, *(recipes or counts)]))
    if missing := [name for name in names if counts[name] < 2]:
        raise RunError(f"{protocol}: no two chains of {', '.join(missing)}. There are: {', '.join(counts)}.")
    own = {name: [chain for chain in chains if chain.recipe == name] for name in names}
    differences = {name: _differences(own[name], own[against], conditions) for name in names[1:]}
    differences[against] = dict.fromkeys(conditions.metrics, "")
    rows = [
        {"recipe": name, "chains": str(counts[name])}
        | _means(_values(own[name], conditions), conditions)
        | {f"{metric} against {against}": differences[name][metric] for metric in compared}
        for name in names
    ]
    heading = [
        f"{protocol}: {len(conditions.recordings)} queries, {len({*conditions.recordings})} recordings"
    ]
    pairs = {name: len(_pairs(own[name], own[against])) for name in names[1:]}
    heading += [
        f"{count} chains of {name} share stages with those of {against}: the difference is of these pairs, "
        "which are drawn together"
        for name, count in pairs.items()
        if count
    ]
    return format_table("github", heading, rows, align=["left", *["right"] * (len(rows[0]) - 1)])


def alike(protocol: str, folder: Path) -> str:
    """Return a table of the correlation over queries of the mAP of two chains of a recipe.

    Only recipes with chains of one seed on several processors have a row.

    Raises:
        RunError: There are none.
    """
    conditions, chains = read(folder / f"{protocol}.jsonl")
    column = conditions.metrics.index("mAP")
    rows = []
    for recipe in dict.fromkeys(chain.recipe for chain in chains):
        own = [chain for chain in chains if chain.recipe == recipe]
        values = [unpacked(chain.values, len(conditions.metrics))[:, column] for chain in own]
        pairs = list(combinations(range(len(own)), 2))
        found = {pair: float(np.corrcoef(*(values[one] for one in pair))[0, 1]) for pair in pairs}
        same = [found[one, two] for one, two in pairs if own[one].seed == own[two].seed]
        other = [found[one, two] for one, two in pairs if own[one].seed != own[two].seed]
        if same:
            rows.append({"recipe": recipe, "one seed": _range(same), "two seeds": _range(other)})
    if not rows:
        raise RunError(f"{protocol}: no recipe has chains of one seed on several processors.")
    return format_table("github", ["correlation of mAP over queries"], rows)


def _range(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else ""


def _recordings(system: System) -> tuple[int, ...]:
    """Return the place of each query's recording among the sorted names: drawings go by their order."""
    _, numbers = np.unique([query.vid for query in system.queries], return_inverse=True)
    return tuple(numbers.tolist())


def hash_of_recipe(options: Mapping[str, object], parts: Sequence[PartRecord]) -> str:
    """Return `made_by` of chains of a recipe whose options are as a protocol sets them."""
    named = sorted((part.slot, part.use, part.version) for part in parts)
    return content_hash([{name: options[name] for name in options if name not in ("name", "about")}, named])


def _chains(system: System, result: Result) -> Iterator[MeasuredChain]:
    """Yield the chains of a run."""
    made_by = hash_of_recipe(result.recipe.options, result.parts)
    for (seed, keys), values in zip(result.chains().items(), system.singles.values, strict=True):
        name, cpu = result.recipe.name, result.environment.cpu
        yield MeasuredChain(name, made_by, seed, cpu, tuple(sorted(keys)), packed(values))


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _means(values: Floats, conditions: Conditions) -> dict[str, str]:
    """Return the cells with the means of a recipe."""
    by_chain = dict(zip(conditions.metrics, values.mean(axis=1).T, strict=True))
    means = {metric: f"{own.mean():.2f}" for metric, own in by_chain.items()}
    return means | {f"{BY_CHAIN} of each chain": ", ".join(f"{own:.1f}" for own in by_chain[BY_CHAIN])}


def _values(chains: Sequence[MeasuredChain], conditions: Conditions) -> Floats:
    """Return (chains, Q, M) percent."""
    return np.stack([unpacked(chain.values, len(conditions.metrics)) for chain in chains])


def _pairs(
    chains: Sequence[MeasuredChain], others: Sequence[MeasuredChain]
) -> list[tuple[MeasuredChain, MeasuredChain]]:
    """Return the chains of two recipes that share stages, as where only the last stage differs."""
    return [(one, two) for one in chains for two in others if one.shares_stages(two)]


def _differences(
    chains: Sequence[MeasuredChain], others: Sequence[MeasuredChain], conditions: Conditions
) -> dict[str, str]:
    """Return the difference from the chains of another recipe, with its interval, by metric."""
    recordings = [f"{number:06}" for number in conditions.recordings]
    if pairs := _pairs(chains, others):
        ones, twos = (_values(side, conditions) for side in zip(*pairs, strict=True))
        drawn = paired_chain_differences(ones - twos, recordings)
    else:
        drawn = chain_differences(_values(chains, conditions), _values(others, conditions), recordings)
    texts = [f"{own.mean:+.2f} [{own.low:+.2f}, {own.high:+.2f}]" for own in drawn]
    return dict(zip(conditions.metrics, texts, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Add chains, or print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add the chains of finished runs")
    adding.add_argument("runs", nargs="+", type=Path)
    showing = commands.add_parser("table", help="compare recipes by all their chains")
    showing.add_argument("recipes", nargs="*", help="all by default")
    showing.add_argument("--against", required=True)
    showing.add_argument("--protocol", default="synthetic-chains-3")
    showing.add_argument("--metrics", nargs="+", choices=METRICS, default=COMPARED, help="to compare by")
    showing.add_argument("--seeds", nargs="+", type=int, default=(), help="of compared chains; default: all")
    comparing = commands.add_parser("alike", help="how alike chains of one seed and of two seeds are")
    comparing.add_argument("--protocol", default="synthetic-chains-3")
    options = parser.parse_args(arguments)
    if options.command == "add":
        add(options.runs, FOLDER)
    elif options.command == "alike":
        print(alike(options.protocol, FOLDER))
    else:
        own = (options.recipes, options.against, options.protocol)
        print(table(*own, FOLDER, options.metrics, options.seeds))


if __name__ == "__main__":
    main()
