"""Compare runs, or prediction files, query by query. Trains nothing, needs no torch.

The value of a query is what it contributes to a metric, averaged over the seeds. Differences are paired by
query; their intervals come from resampling recordings (`amrbench.functional.bootstrap`). Means of single
models are compared with means of single models, a soup with the single models of its own run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from amrbench.errors import RunError
from amrbench.evaluation.systems import ComparedModel, System, read_systems
from amrbench.evaluation.text_table import format_table
from amrbench.functional.bootstrap import (
    DRAWS,
    LEVEL,
    Difference,
    chain_differences,
    differences,
    paired_chain_differences,
)
from amrbench.functional.metrics import Metric
from amrbench.functional.power import SHARE, MoreChains, more_chains
from amrbench.types import Floats

METRICS = ("R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP")
TO_SETTLE = "to settle it"
FEW_RECORDINGS = 40
"""With fewer, the truth was outside of the intervals clearly more often than 5 % (docs/comparing.md)."""

_SETTLING = (
    f"{TO_SETTLE.capitalize()}: about how many more chains of each recipe would leave 0 outside of the "
    f"interval, in {100 * SHARE:.0f} % of the cases, if the difference is as large as it seems. Where no "
    "number of them would, the half-width that the recordings of this split leave."
)


@dataclass(frozen=True)
class ComparisonRow:
    """One metric of the single models or of a soup.

    Attributes:
        recipe: Name of the recipe, or of the prediction file.
        member: Which of its models.
        metric: Name of the metric.
        value: Percent; the mean over the seeds if there are several.
        seeds: Percent of each seed.
        spread: Standard deviation over the seeds; None for a single one.
        against: What it is compared with; empty for nothing.
        difference: Of the values, in points; None where nothing is compared.
        to_settle: What would settle a difference of chains; None where it is settled, and without chains.
    """

    recipe: str
    member: str
    metric: str
    value: float
    seeds: tuple[float, ...]
    spread: float | None
    against: str
    difference: Difference | None
    to_settle: MoreChains | None

    def cells(self) -> dict[str, str]:
        """Return the row as text."""
        difference = self.difference
        return {
            "recipe": self.recipe,
            "member": self.member,
            "metric": self.metric,
            "value": f"{self.value:.2f}",
            "spread": "" if self.spread is None else f"{self.spread:.2f}",
            "against": self.against,
            "difference": f"{difference.mean:+.2f}" if difference else "",
            "95 % interval": f"[{difference.low:+.2f}, {difference.high:+.2f}]" if difference else "",
            "p": f"{difference.p:.4f}" if difference else "",
            TO_SETTLE: str(self.to_settle or ""),
        }


@dataclass(frozen=True)
class Comparison:
    """What `amrbench compare` prints.

    Attributes:
        protocol: Of the runs; empty if only prediction files are compared.
        against: Name of the system that the others are compared with.
        queries: Number of scored queries.
        recordings: Number of their recordings.
        notes: The sentences above the table.
        lines: The rows of the table.
    """

    protocol: str
    against: str
    queries: int
    recordings: int
    notes: tuple[str, ...]
    lines: tuple[ComparisonRow, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as plain values, not rounded."""
        return {**asdict(self), "draws": DRAWS, "level": LEVEL, "share": SHARE}

    def text(self, form: str = "github") -> str:
        """Return the table with its heading; see `format_table`."""
        return format_table(form, self.notes, self.cells(), align=self.alignment())

    def cells(self) -> list[dict[str, str]]:
        """Return the rows of the table as text; what would settle a difference only where that is known."""
        rows = [row.cells() for row in self.lines]
        if any(row[TO_SETTLE] for row in rows):
            return rows
        return [{name: row[name] for name in row if name != TO_SETTLE} for row in rows]

    def alignment(self) -> list[str]:
        """Return "left" or "right" for each column of `cells`."""
        numbers = ("value", "spread", "difference", "95 % interval", "p")
        return ["right" if name in numbers else "left" for name in self.cells()[0]]


def compare(
    sources: Sequence[Path],
    *,
    against: Path | None = None,
    truth: Path | None = None,
    metrics: Sequence[str] = METRICS,
) -> Comparison:
    """Compare runs and prediction files with one of them.

    Args:
        sources: Run folders, prediction files, or folders with a prediction file for each seed.
        against: What the others are compared with; the first source by default.
        truth: Annotations of the prediction files; runs have their own.
        metrics: Names of the metrics, e.g. "R1@0.7".

    Raises:
        AmrbenchError: There is no such metric.
        RunError: A run is not finished, or the sources cannot be compared.
        DataError: A file is wrong or missing.
    """
    parsed = [Metric.parse(name) for name in dict.fromkeys(metrics)]
    systems = read_systems(sources, parsed, against=against, truth=truth)
    rows = [row for system in systems for row in _rows(system, systems[0], parsed)]
    recordings = {query.vid for query in systems[0].queries}
    return Comparison(
        protocol=protocol_of(systems),
        against=systems[0].name,
        queries=len(systems[0].queries),
        recordings=len(recordings),
        notes=(
            *_notes(systems, any(row.difference for row in rows)),
            *([_SETTLING] if any(row.to_settle for row in rows) else []),
        ),
        lines=tuple(rows),
    )


def run_heading(systems: Sequence[System]) -> list[str]:
    """Return the sentences of a heading about protocol and stand-ins; none if there are only files."""
    runs = [system.result for system in systems if system.result]
    notes = [f"Protocol {run.protocol.title()}" for run in runs[:1]]
    return notes + [f"Stand-ins: {note}." for note in dict.fromkeys(run.stand_ins for run in runs) if note]


def protocol_of(systems: Sequence[System]) -> str:
    """Return the name of the protocol of the runs; empty if there are only prediction files."""
    return next((system.result.protocol.name for system in systems if system.result), "")


def compared_models(system: System, first: System) -> list[tuple[ComparedModel, System | None]]:
    """Return the models of a system, and the system with whose single models each is compared, if any.

    Its single models are compared with those of the first system, its soups with its own single models.
    """
    return [(system.singles, None if system is first else first), *((soup, system) for soup in system.soups)]


def paired_differences(system: System, model: ComparedModel, other: System) -> list[Difference]:
    """Return the difference of a model of a system from the single models of another, for each metric.

    Raises:
        RunError: Some chains of the two share stages, and others do not.
    """
    recordings = [query.vid for query in system.queries]
    pairs = share_chains(system, other)  # first of all, so that a single seed is refused as several are
    if model is not system.singles or not _have_chains([system, other]):
        return differences(model.values.mean(axis=0) - other.singles.values.mean(axis=0), recordings)
    if pairs:
        return paired_chain_differences(model.values - other.singles.values, recordings)
    return chain_differences(model.values, other.singles.values, recordings)


def _rows(system: System, first: System, metrics: Sequence[Metric]) -> list[ComparisonRow]:
    """Return a row for each metric of a system and of its soups."""
    rows = []
    for model, other in compared_models(system, first):
        means = model.values.mean(axis=1)  # (S, M)
        spread = means.std(axis=0, ddof=1).tolist() if len(means) > 1 else [None] * len(metrics)
        paired: Sequence[Difference | None] = [None] * len(metrics)
        to_settle: Sequence[MoreChains | None] = [None] * len(metrics)
        if other is not None:
            paired = known = paired_differences(system, model, other)
            if model is system.singles and _have_chains([system, other]):
                sides = _sides(system, other)
                to_settle = more_chains(*sides, [query.vid for query in system.queries], known)
        rows += [
            ComparisonRow(
                recipe=system.name,
                member=model.name,
                metric=metric.name,
                value=float(means[:, index].mean()),
                seeds=tuple(means[:, index].tolist()),
                spread=spread[index],
                against=f"{other.name}, {other.singles.name}" if other else "",
                difference=paired[index],
                to_settle=to_settle[index],
            )
            for index, metric in enumerate(metrics)
        ]
    return rows


def share_chains(one: System, two: System) -> bool:
    """Whether each chain of a run shares a stage with that of the same seed of another run.

    Raises:
        RunError: Only some of them do, so they are neither pairs nor independent.
    """
    first, second = _own_chains(one), _own_chains(two)
    shared = {seed for seed in first.keys() & second.keys() if first[seed] & second[seed]}
    if shared and not shared == first.keys() == second.keys():
        raise RunError(
            f"{one.location} has {len(first)} seeds, {two.location} has {len(second)}, and they share stages "
            f"of {len(shared)} only, so they are neither pairs of chains nor trained apart. "
            "Run both recipes with the same --seeds; finished stages are kept."
        )
    return bool(shared)


def _own_chains(system: System) -> dict[str, frozenset[str]]:
    """Return the chain of each seed by its name; none where seeds share stages, and of prediction files."""
    result = system.result
    return result.chains() if result and result.protocol.chains == "own" else {}


def _sides(system: System, other: System) -> tuple[Floats, Floats]:
    """Return the values of chains on both sides; those of pairs stand on the first side alone."""
    one, two = system.singles.values, other.singles.values
    return (one - two, np.zeros_like(one)) if share_chains(system, other) else (one, two)


def _have_chains(systems: Sequence[System]) -> bool:
    """Whether each system has several models, and no two models of a system share a stage."""
    return all(
        system.result and system.result.protocol.chains == "own" and len(system.singles.values) > 1
        for system in systems
    )


def _notes(systems: Sequence[System], compared: bool) -> list[str]:
    """Return the sentences that are needed to read the table."""
    first, *others = systems
    notes = run_heading(systems)
    if compared:
        chains = [other for other in others if _have_chains([first, other])]
        if not chains or len(chains) == len(others):
            notes += _method(first, others)
        else:
            rest = [other for other in others if other not in chains]
            for group in (chains, rest):
                notes += _method(first, group, f" of {', '.join(other.name for other in group)}")
        recordings = len({query.vid for query in first.queries})
        if recordings < FEW_RECORDINGS:
            few = f"Recordings: only {recordings}"
            notes.append(f"{few}, so the interval is too narrow (docs/comparing.md).")
    return notes + [note for other in others if (note := _feature_note(first, other))]


def _method(first: System, others: Sequence[System], whose: str = "") -> list[str]:
    """Return how the differences from the first system are computed; the same for all others."""
    count, recordings = f"{len(first.queries)} queries", len({query.vid for query in first.queries})
    drawn, exchanged = "recordings", "sides exchanged at random in each recording"
    covered = (
        "The interval is conditional on the pre-training and on the seeds that were trained: it covers "
        "the choice of recordings only. How much seeds differ is the column 'spread'."
    )
    if _have_chains([first, *others]):
        drawn, exchanged = "recordings and seeds", "seeds exchanged between the sides"
        covered = (
            "Each seed was trained apart from the first stage on, so the interval covers the choice of "
            "recordings and how training comes out."
        )
        if pairs := [other.name for other in others if share_chains(first, other)]:
            covered += (
                f" Seeds of {', '.join(pairs)} share stages with those of {first.name}: both are drawn "
                "together, and p exchanges the sides of each seed."
            )
    return [
        f"Differences{whose} in points, paired by query ({count}, {recordings} recordings), "
        f"each query averaged over seeds. Interval: 95 %, percentiles of {DRAWS:,} bootstrap draws over "
        f"{drawn}; p: {exchanged}.",
        covered,
    ]


def _feature_note(first: System, other: System) -> str:
    """Return a note if the features of two systems differ, or are not known; else an empty string."""
    unknown = [system.name for system in (first, other) if system.result is None]
    if unknown:
        return (
            f"{' and '.join(unknown)}: prediction files do not say which features were used, so the "
            f"difference from {first.name} may not be about the model alone."
        )
    features = {
        system.name: system.result.recipe.options["features"] for system in (other, first) if system.result
    }
    if features[first.name] == features[other.name]:
        return ""
    names = [
        f"{name} has {options['use'] if set(options) == {'use'} else json.dumps(options, sort_keys=True)}"
        for name, options in features.items()
    ]
    return f"The features differ: {', '.join(names)}. The difference is not about the model alone."
