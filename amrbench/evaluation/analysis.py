"""Why the metrics of runs or prediction files are as they are: `amrbench analyze`. Needs no torch.

The seeds of a system are pooled: each of them counts the same in every number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amrbench.errors import AmrbenchError, some
from amrbench.evaluation.calibration import Calibration, are_probabilities, calibration
from amrbench.evaluation.compare import (
    FEW_RECORDINGS,
    compared_models,
    paired_differences,
    protocol_of,
    run_heading,
)
from amrbench.evaluation.disagreement import Disagreement, disagreement
from amrbench.evaluation.duplicates import TOP, Duplicates, duplicates
from amrbench.evaluation.moment_errors import MomentErrors, moment_errors
from amrbench.evaluation.oracle_recall import (
    GridCeiling,
    OracleRecall,
    grid_ceiling,
    grid_step,
    oracle_recall,
)
from amrbench.evaluation.query_groups import GroupScores, group_scores, query_groups
from amrbench.evaluation.systems import ComparedModel, System, read_systems
from amrbench.functional.matched_windows import match_windows
from amrbench.functional.metrics import Metric, metrics_at

IOUS = (0.5, 0.7)
STEPS = (1.0, 2.0, 5.0)
_LONGEST_STEP = 3600.0


@dataclass(frozen=True)
class ModelAnalysis:
    """What the moments of the single models of a system, or of one of its soups, are like.

    Attributes:
        recipe: Name of the recipe, or of the prediction file.
        member: Which of its models.
        step: Seconds of which all predicted starts are multiples; 0 if there is no such step.
        oracle: Recall at 1, 2, 3, 5, 10 and all moments.
        errors: Of the first moment, and of the best of the first five.
        duplicates: Among the first five moments.
        calibration: Of the first moment for each IoU; empty where scores are not probabilities.
        groups: Metrics of groups of queries, the same groups for all models.
    """

    recipe: str
    member: str
    step: float
    oracle: tuple[OracleRecall, ...]
    errors: tuple[MomentErrors, ...]
    duplicates: Duplicates
    calibration: tuple[Calibration, ...]
    groups: tuple[GroupScores, ...]


@dataclass(frozen=True)
class Analysis:
    """What `amrbench analyze` prints.

    Attributes:
        protocol: Of the runs; empty if only prediction files are analyzed.
        queries: Number of scored queries.
        recordings: Number of their recordings.
        notes: The sentences above the tables.
        models: The single models of each system, and its soups.
        ceilings: The best recall of windows on a grid, by step.
        disagreements: Of each system and the first, and of each soup and the single models of its run.
    """

    protocol: str
    queries: int
    recordings: int
    notes: tuple[str, ...]
    models: tuple[ModelAnalysis, ...]
    ceilings: tuple[GridCeiling, ...]
    disagreements: tuple[Disagreement, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as plain values, not rounded."""
        return asdict(self)


def analyze(
    sources: Sequence[Path],
    *,
    against: Path | None = None,
    truth: Path | None = None,
    ious: Sequence[float] = IOUS,
    steps: Sequence[float] = STEPS,
    keys: Sequence[str] | None = None,
) -> Analysis:
    """Analyse runs and prediction files; two or more also by the queries that only one of them answers.

    Args:
        sources: Run folders, prediction files, or folders with a prediction file for each seed.
        against: What the others are compared with; the first source by default.
        truth: Annotations of the prediction files; runs have their own.
        ious: Thresholds above 0 and up to 1.
        steps: Grids in seconds whose ceiling is computed, besides those on which predictions lie.
        keys: Keys of the annotations to group queries by; all with few values by default.

    Raises:
        AmrbenchError: A threshold or a step makes no sense.
        RunError: A run is not finished, or the sources cannot be compared.
        DataError: A file is wrong or missing, or no query has a key.
    """
    thresholds = list(dict.fromkeys(ious))
    metrics = metrics_at((1, 5), thresholds)
    for step in steps:
        if not 0 < step <= _LONGEST_STEP:
            raise AmrbenchError(
                f"a grid with a step of {step:g} s makes no sense; give seconds above 0 and up to "
                f"{_LONGEST_STEP:g}."
            )
    systems = read_systems(sources, metrics, against=against, truth=truth)
    pairs = [
        (system, model, other) for system in systems for model, other in compared_models(system, systems[0])
    ]
    queries = systems[0].queries
    # The values of all systems have one order of the queries, but their annotations may make other groups.
    models = [
        _model(system, model, thresholds, group_scores(queries, model.values.mean(axis=0), metrics, keys))
        for system, model, _ in pairs
    ]
    grids = sorted({*steps, *(model.step for model in models if model.step)})
    recordings = len({query.vid for query in queries})
    annotated = systems[0].singles.windows[0].truth
    disagreements = [
        own
        for system, model, other in pairs
        if other is not None
        for own in _disagreements(system, model, other, metrics[: len(thresholds)])
    ]
    return Analysis(
        protocol=protocol_of(systems),
        queries=len(queries),
        recordings=recordings,
        notes=(*_notes(systems, recordings, bool(disagreements)), *_notes_on_groups(systems, keys)),
        models=tuple(models),
        ceilings=tuple(grid_ceiling(annotated, step, thresholds) for step in grids),
        disagreements=tuple(disagreements),
    )


def _model(
    system: System, model: ComparedModel, ious: Sequence[float], groups: tuple[GroupScores, ...]
) -> ModelAnalysis:
    windows = match_windows(model.windows)
    probabilities = are_probabilities(model.windows)
    return ModelAnalysis(
        recipe=system.name,
        member=model.name,
        step=grid_step(windows),
        oracle=oracle_recall(windows, ious),
        errors=tuple(moment_errors(windows, k) for k in (1, TOP)),
        duplicates=duplicates(windows),
        calibration=tuple(calibration(windows, 1, iou) for iou in ious) if probabilities else (),
        groups=groups,
    )


def _disagreements(
    system: System, model: ComparedModel, other: System, metrics: Sequence[Metric]
) -> list[Disagreement]:
    """Return how the answers of a model and of the single models of another system differ, by metric."""
    paired = paired_differences(system, model, other)
    answered = [own.values.mean(axis=0) / 100 for own in (model, other.singles)]  # (Q, M)
    names = f"{system.name}, {model.name}", f"{other.name}, {other.singles.name}"
    return [
        disagreement(
            names,
            metric.name,
            system.queries,
            (answered[0][:, index], answered[1][:, index]),
            paired[index],
        )
        for index, metric in enumerate(metrics)
    ]


def _notes(systems: Sequence[System], recordings: int, compared: bool) -> list[str]:
    notes = [*run_heading(systems), f"{len(systems[0].queries)} queries, {recordings} recordings."]
    if compared and recordings < FEW_RECORDINGS:
        few = f"Recordings: only {recordings}"
        notes.append(f"{few}, so the interval is too narrow (docs/comparing.md).")
    return notes


def _notes_on_groups(systems: Sequence[System], keys: Sequence[str] | None) -> list[str]:
    """Return a note for each system whose own annotations give other groups than those of the first."""
    first, *others = systems
    notes, known = [], _groups(first, keys)
    for system in others:
        own = _groups(system, keys)
        if differing := [by for by in known | own if known.get(by) != own.get(by)]:
            notes.append(
                f"Groups of queries are those of the annotations of {first.name}; those of {system.name} "
                f"give others by {some(differing)}."
            )
    return notes


def _groups(system: System, keys: Sequence[str] | None) -> dict[str, dict[str, list[int]]]:
    """Return the rows of the queries of each group, by the keys that the annotations of a system have."""
    have = keys and [key for key in keys if any(key in query.extra for query in system.queries)]
    groups = query_groups(system.queries, have)
    return {by: {value: rows.tolist() for value, rows in own.items()} for by, own in groups.items()}
