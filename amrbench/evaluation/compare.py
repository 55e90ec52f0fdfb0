"""Compare runs, or prediction files, query by query. Trains nothing, needs no torch.

The value of a query is what it contributes to a metric, averaged over the seeds. Differences are paired by
query; their intervals come from resampling recordings (`amrbench.functional.bootstrap`). Means of single
models are compared with means of single models, a soup with the single models of its own run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from amrbench.errors import RunError, some
from amrbench.evaluation.systems import ComparedModel, System, is_run, read_files, read_run, run_folder
from amrbench.evaluation.text_table import format_table, refuse_unknown_format
from amrbench.functional.bootstrap import DRAWS, LEVEL, Difference, chain_differences, differences
from amrbench.functional.metrics import Metric

METRICS = ("R1@0.5", "R1@0.7", "mAP")
FEW_RECORDINGS = 40
"""With fewer, the truth was outside of the intervals clearly more often than 5 % (docs/comparing.md)."""
_CONDITIONAL = (
    "The interval is conditional on the pre-training and on the seeds that were trained: it covers the "
    "choice of recordings only. How much seeds differ is the column 'spread'."
)
_OF_CHAINS = (
    "Each seed was trained apart from the first stage on, so the interval covers the choice of recordings "
    "and how training comes out."
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
    """

    recipe: str
    member: str
    metric: str
    value: float
    seeds: tuple[float, ...]
    spread: float | None
    against: str
    difference: Difference | None


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
        return {**asdict(self), "draws": DRAWS, "level": LEVEL}

    def text(self, form: str = "github") -> str:
        """Return the table with its heading in one of `FORMS`.

        Raises:
            RunError: The form is unknown.
        """
        refuse_unknown_format(form)
        if form == "json":
            return json.dumps(self.as_json(), indent=2)
        align = ["left"] * 3 + ["right"] * 2 + ["left"] + ["right"] * 3
        return format_table(form, self.notes, [_cells(row) for row in self.lines], align=align)


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
    parsed = [Metric.parse(name) for name in dict.fromkeys(metrics or METRICS)]
    every = [*([against] if against else ()), *sources]
    paths = list({run_folder(path).resolve(): path for path in every}.values())
    if not paths:
        raise RunError("there is nothing to compare: give a run folder or a prediction file.")
    if truth is not None and all(is_run(path) for path in paths):
        raise RunError(f"{truth}: runs bring their own annotations; --truth is for prediction files only.")
    systems = _with_unique_names([_read(path, truth, parsed) for path in paths])
    for other in systems[1:]:
        _refuse_other_conditions(systems[0], other)
        _refuse_other_queries(systems[0], other)
    return _comparison(systems, parsed)


def _read(path: Path, truth: Path | None, metrics: Sequence[Metric]) -> System:
    if is_run(path):
        return read_run(path, metrics)
    if not path.exists():
        raise RunError(f"{path}: there is no such run or prediction file. Check the path.")
    if truth is None:
        raise RunError(
            f"{path}: not a run (no metrics.json). Prediction files need the annotations too: --truth FILE."
        )
    return read_files(path, truth, metrics)


def _with_unique_names(systems: Sequence[System]) -> list[System]:
    """Add the location to names that several systems have."""
    count = Counter(system.name for system in systems)
    return [
        system if count[system.name] == 1 else replace(system, name=f"{system.name} ({system.location})")
        for system in systems
    ]


def _refuse_other_conditions(first: System, other: System) -> None:
    one, two = first.results, other.results
    if one and two and one.protocol != two.protocol:
        raise RunError(
            f"{first.location} was run under the protocol {one.protocol!r}, {other.location} under "
            f"{two.protocol!r}: their metrics mean different things and cannot be compared."
        )
    if one and two and one.conditions != two.conditions:
        raise RunError(
            f"the protocol {one.protocol!r} or its data changed between {first.location} and "
            f"{other.location}, so they cannot be compared. Run the older one again."
        )


def _refuse_other_queries(first: System, other: System) -> None:
    one, two = (
        {str(query.qid): (query.vid, query.windows) for query in system.queries} for system in (first, other)
    )
    faults = [
        f"only {system.location} has {some(sorted(own - rest))}"
        for system, own, rest in ((first, set(one), set(two)), (other, set(two), set(one)))
        if own - rest
    ]
    changed = [qid for qid in one if qid in two and one[qid] != two[qid]]
    if changed:
        faults.append(f"{some(changed)} have another recording or other windows")
    if faults:
        raise RunError(
            f"{first.location} and {other.location} do not answer the same queries: {'; '.join(faults)}. "
            "Compare what was scored on the same annotations."
        )


def _comparison(systems: Sequence[System], metrics: Sequence[Metric]) -> Comparison:
    """Compare the single models of all systems with those of the first, and soups with their own."""
    first = systems[0]
    recordings = [query.vid for query in first.queries]
    rows: list[ComparisonRow] = []
    for system in systems:
        other = None if system is first else first
        rows += _rows(system, system.singles, other, metrics=metrics, recordings=recordings)
        for soup in system.soups:
            rows += _rows(system, soup, system, metrics=metrics, recordings=recordings)
    comparison = Comparison(
        protocol=next((system.results.protocol for system in systems if system.results), ""),
        against=first.name,
        queries=len(recordings),
        recordings=len(set(recordings)),
        notes=(),
        lines=tuple(rows),
    )
    return replace(comparison, notes=tuple(_notes(comparison, systems)))


def _rows(
    system: System,
    model: ComparedModel,
    other: System | None,
    *,
    metrics: Sequence[Metric],
    recordings: Sequence[str],
) -> list[ComparisonRow]:
    """Return a row for each metric; the difference is from the single models of the other system."""
    means = model.values.mean(axis=1)  # (S, M)
    spread = means.std(axis=0, ddof=1).tolist() if len(means) > 1 else [None] * len(metrics)
    paired: Sequence[Difference | None] = [None] * len(metrics)
    if other is not None and model is system.singles and _all_chains_differ([system, other]):
        paired = chain_differences(model.values, other.singles.values, recordings)
    elif other is not None:
        paired = differences(model.values.mean(axis=0) - other.singles.values.mean(axis=0), recordings)
    return [
        ComparisonRow(
            recipe=system.name,
            member=model.name,
            metric=metric.name,
            value=float(means[:, index].mean()),
            seeds=tuple(means[:, index].tolist()),
            spread=spread[index],
            against=f"{other.name}, {other.singles.name}" if other else "",
            difference=paired[index],
        )
        for index, metric in enumerate(metrics)
    ]


def _all_chains_differ(systems: Sequence[System]) -> bool:
    """Whether each system has several models, and no two of them share a stage."""
    return all(
        system.results is not None and system.results.chains == "own" and len(system.singles.values) > 1
        for system in systems
    )


def _notes(comparison: Comparison, systems: Sequence[System]) -> list[str]:
    """Return the sentences that are needed to read the table."""
    runs = [system.results for system in systems if system.results]
    notes = [f"Protocol {comparison.protocol}: {run.about}".removesuffix(": ") for run in runs[:1]]
    notes += [f"Stand-ins: {note}." for note in dict.fromkeys(run.stand_ins for run in runs) if note]
    if any(row.difference for row in comparison.lines):
        chains = _all_chains_differ(systems)
        notes += [_method_note(comparison, chains), _OF_CHAINS if chains else _CONDITIONAL]
        if comparison.recordings < FEW_RECORDINGS:
            few = f"Recordings: only {comparison.recordings}"
            notes.append(f"{few}, so the interval is too narrow (docs/comparing.md).")
    return [*notes, *(note for other in systems[1:] for note in _feature_notes(systems[0], other))]


def _method_note(comparison: Comparison, chains: bool) -> str:
    drawn, exchanged = "recordings", "sides exchanged at random in each recording"
    if chains:
        drawn, exchanged = "recordings and seeds", "seeds exchanged between the sides"
    return (
        f"Differences in points, paired by query ({comparison.queries} queries, {comparison.recordings} "
        f"recordings), each query averaged over seeds. Interval: 95 %, percentiles of {DRAWS:,} bootstrap "
        f"draws over {drawn}; p: {exchanged}."
    )


def _feature_notes(first: System, other: System) -> list[str]:
    """Return a note if the features of two systems differ, or are not known."""
    if first.features and first.features == other.features:
        return []
    if first.features and other.features:
        return [
            f"The features differ: {other.name} has {_short_features(other)}, {first.name} has "
            f"{_short_features(first)}. The difference is not about the model alone."
        ]
    unknown = " and ".join(system.name for system in (first, other) if not system.features)
    return [
        f"{unknown}: prediction files do not say which features were used, so the difference from "
        f"{first.name} may not be about the model alone."
    ]


def _short_features(system: System) -> str:
    features = json.loads(system.features)
    return str(features["use"]) if set(features) == {"use"} else system.features


def _cells(row: ComparisonRow) -> dict[str, str]:
    difference = row.difference
    return {
        "recipe": row.recipe,
        "member": row.member,
        "metric": row.metric,
        "value": f"{row.value:.2f}",
        "spread": "" if row.spread is None else f"{row.spread:.2f}",
        "against": row.against,
        "difference": f"{difference.mean:+.2f}" if difference else "",
        "95 % interval": f"[{difference.low:+.2f}, {difference.high:+.2f}]" if difference else "",
        "p": f"{difference.p:.4f}" if difference else "",
    }
