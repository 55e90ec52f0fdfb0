"""Compare runs, or prediction files, query by query. Trains nothing, needs no torch.

The unit is the query, its value the mean over the seeds of what it contributes to a metric. Differences are
paired by query, their intervals come from drawing recordings (`amrbench.functional.bootstrap`). Means of single
models are compared with means of single models; a soup is compared with the singles that it was mixed of.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from amrbench.errors import RunError, some
from amrbench.evaluation.systems import ComparedModel, System, folder_of, is_run, read_files, read_run
from amrbench.evaluation.text_table import format_table, refuse_unknown_format
from amrbench.functional.bootstrap import DRAWS, LEVEL, Difference, chain_differences, differences
from amrbench.functional.metrics import Metric

METRICS = ("R1@0.5", "R1@0.7", "mAP")
FEW = 40
"""Below it, intervals missed the truth clearly more often than they say (measured in docs/comparing.md)."""
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
    """One metric of one member.

    Attributes:
        recipe: Name of the recipe, or of the prediction file.
        member: Which of its models.
        metric: Name of the metric.
        value: Percent; the mean over seeds where there are several.
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
        against: Name of what the others are compared with.
        queries: Queries that are scored.
        recordings: Recordings that they ask about.
        notes: Sentences that belong above the table.
        lines: The table.
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
        return format_table(form, self.notes, [_cells(line) for line in self.lines], align=align)


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
        against: What the others are compared with; the first source if none is given.
        truth: Annotations of the prediction files; runs bring their own.
        metrics: Names of the metrics, e.g. "R1@0.7".

    Raises:
        RunError: A run is not finished, or what is given cannot be compared.
        DataError: A file is wrong or missing.
    """
    asked = [Metric.parse(name) for name in dict.fromkeys(metrics or METRICS)]
    given = {folder_of(path): path for path in (*([against] if against else ()), *sources)}
    if not given:
        raise RunError("there is nothing to compare: give a run folder or a prediction file.")
    _refuse_needless_truth(list(given.values()), truth)
    first, *others = _named([_read(path, truth, asked) for path in given.values()])
    for other in others:
        _refuse_mixture(first, other)
    return _comparison(first, [first, *others], asked)


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


def _named(found: Sequence[System]) -> list[System]:
    """Tell namesakes apart by where they lie."""
    count = Counter(each.name for each in found)
    return [
        each if count[each.name] == 1 else replace(each, name=f"{each.name} ({each.location})") for each in found
    ]


def _comparison(first: System, order: Sequence[System], metrics: Sequence[Metric]) -> Comparison:
    recordings = [query.vid for query in first.queries]
    lines: list[ComparisonRow] = []
    for each in order:
        other = None if each is first else first
        apart = _trained_apart(first) and _trained_apart(each)
        lines += _lines(each.name, each.singles, other, metrics=metrics, recordings=recordings, apart=apart)
        for soup in each.soups:
            lines += _lines(each.name, soup, each, metrics=metrics, recordings=recordings)
    protocol = next((each.results.protocol for each in order if each.results), "")
    found = Comparison(
        protocol, first.name, len(recordings), len(set(recordings)), notes=(), lines=tuple(lines)
    )
    return replace(found, notes=tuple(_notes(found, first, order)))


def _trained_apart(side: System) -> bool:
    """Whether several models were trained that have no stage in common."""
    own = side.results is not None and side.results.chains == "own"
    return own and len(side.singles.values) > 1


def _lines(
    recipe: str,
    member: ComparedModel,
    other: System | None,
    *,
    metrics: Sequence[Metric],
    recordings: Sequence[str],
    apart: bool = False,
) -> list[ComparisonRow]:
    means = member.values.mean(axis=1)
    several = len(means) > 1
    spread = means.std(axis=0, ddof=1).tolist() if several else [None] * len(metrics)
    paired: Sequence[Difference | None] = [None] * len(metrics)
    if other is not None and apart:
        paired = chain_differences(member.values, other.singles.values, recordings)
    elif other is not None:
        paired = differences(member.values.mean(axis=0) - other.singles.values.mean(axis=0), recordings)
    against = f"{other.name}, {other.singles.name}" if other else ""
    return [
        ComparisonRow(
            recipe,
            member.name,
            metric.name,
            value=float(means[:, at].mean()),
            seeds=tuple(means[:, at].tolist()),
            spread=spread[at],
            against=against,
            difference=paired[at],
        )
        for at, metric in enumerate(metrics)
    ]


def _notes(found: Comparison, first: System, order: Sequence[System]) -> list[str]:
    """Return what a reader must know to read the table."""
    runs = [each.results for each in order if each.results]
    under = f"Protocol {found.protocol}: {runs[0].about}".removesuffix(": ") if runs else ""
    stand_ins = [f"Stand-ins: {note}." for note in dict.fromkeys(each.stand_ins for each in runs) if note]
    notes = [*([under] if under else []), *stand_ins]
    if any(line.difference for line in found.lines):
        apart = all(_trained_apart(each) for each in order)
        notes += [_method(found, apart), _OF_CHAINS if apart else _CONDITIONAL, *_few(found)]
    return [*notes, *_about_features(first, order)]


def _method(found: Comparison, apart: bool) -> str:
    drawn, exchanged = "recordings", "sides exchanged at random in each recording"
    if apart:
        drawn, exchanged = "recordings and seeds", "seeds exchanged between the sides"
    return (
        f"Differences in points, paired by query ({found.queries} queries, {found.recordings} recordings), "
        f"each query averaged over seeds. Interval: 95 %, percentiles of {DRAWS:,} bootstrap draws over "
        f"{drawn}; p: {exchanged}."
    )


def _few(found: Comparison) -> list[str]:
    if found.recordings >= FEW:
        return []
    return [f"Recordings: only {found.recordings}, so the interval is too narrow (docs/comparing.md)."]


def _about_features(first: System, order: Sequence[System]) -> list[str]:
    notes = []
    for each in order:
        if each is first:
            continue
        if not each.features or not first.features:
            silent = " and ".join(side.name for side in (first, each) if not side.features)
            notes.append(
                f"{silent}: prediction files do not say which features were used, so the difference from "
                f"{first.name} may not be about the model alone."
            )
        elif each.features != first.features:
            notes.append(
                f"The features differ: {each.name} has {_short(each)}, {first.name} has {_short(first)}. The "
                "difference is not about the model alone."
            )
    return notes


def _short(side: System) -> str:
    features = json.loads(side.features)
    return str(features["use"]) if set(features) == {"use"} else side.features


def _refuse_needless_truth(paths: Sequence[Path], truth: Path | None) -> None:
    if truth is not None and all(is_run(path) for path in paths):
        raise RunError(f"{truth}: runs bring their own annotations; --truth is for prediction files only.")


def _refuse_mixture(first: System, other: System) -> None:
    one, two = first.results, other.results
    if one and two and one.protocol != two.protocol:
        raise RunError(
            f"{first.location} was run under the protocol {one.protocol!r}, {other.location} under "
            f"{two.protocol!r}: their figures mean different things and cannot be compared."
        )
    if one and two and one.conditions != two.conditions:
        raise RunError(
            f"the protocol {one.protocol!r} or its data changed between {first.location} and {other.location}, so "
            "they cannot be compared. Run the older one again."
        )
    _refuse_other_queries(first, other)


def _refuse_other_queries(first: System, other: System) -> None:
    one = {str(query.qid): (query.vid, query.windows) for query in first.queries}
    two = {str(query.qid): (query.vid, query.windows) for query in other.queries}
    faults = [
        f"only {side.location} has {some(sorted(own - rest))}"
        for side, own, rest in ((first, set(one), set(two)), (other, set(two), set(one)))
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


def _cells(line: ComparisonRow) -> dict[str, str]:
    found = line.difference
    return {
        "recipe": line.recipe,
        "member": line.member,
        "metric": line.metric,
        "value": f"{line.value:.2f}",
        "spread": "" if line.spread is None else f"{line.spread:.2f}",
        "against": line.against,
        "difference": f"{found.mean:+.2f}" if found else "",
        "95 % interval": f"[{found.low:+.2f}, {found.high:+.2f}]" if found else "",
        "p": f"{found.p:.4f}" if found else "",
    }
