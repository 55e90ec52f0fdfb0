"""What is compared: the values of each query for the members of runs, or of prediction files. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amrbench.errors import DataError, RunError
from amrbench.evaluation.metrics_file import FILE, Results, Row, read_results
from amrbench.files.annotations import read_annotations
from amrbench.files.predictions import read_predictions
from amrbench.functional.metrics import Metric, evaluate
from amrbench.types import Floats, Query


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One row of a comparison.

    Attributes:
        name: E.g. "mean of 2 seeds", or the name of a soup.
        values: (S, Q, M) percent for each prediction file, query and metric; S is 1 for a soup.
    """

    name: str
    values: Floats


@dataclass(frozen=True, eq=False)
class System:
    """One side of a comparison.

    Attributes:
        name: Name of the recipe, or of the file or folder.
        location: Where it was read.
        queries: The Q scored queries, in the order of their ids as text.
        singles: Its trained models, one for each seed.
        soups: What was mixed of them.
        results: Of a run; None for prediction files.
        features: What a run heard with, as JSON; empty for prediction files, which do not say it.
    """

    name: str
    location: Path
    queries: tuple[Query, ...]
    singles: ComparedModel
    soups: tuple[ComparedModel, ...] = ()
    results: Results | None = None
    features: str = ""


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder, finished or not, or its metrics.json."""
    return path.name == FILE or (path / FILE).is_file() or (path / "recipe.yaml").is_file()


def folder_of(path: Path) -> Path:
    """Return the folder of a run that may be given by its metrics.json; other paths are their own."""
    return path.resolve().parent if path.name == FILE else path.resolve()


def prediction_files(path: Path) -> list[Path]:
    """Return the predictions of the seeds of a run, a prediction file itself, or those in a folder.

    Raises:
        RunError: The run is not finished, or there is no prediction file.
    """
    if is_run(path):
        folder = path.parent if path.name == FILE else path
        return [folder / row.predictions for row in read_results(path).rows if row.kind == "seed"]
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise RunError(f"{path}: there is no run and no prediction file (*.jsonl) here. Check the path.")
    return files


def read_run(path: Path, metrics: Sequence[Metric]) -> System:
    """Read the members of a finished run from its prediction files.

    Raises:
        RunError: The run is not finished, or its files do not give its metrics.
        DataError: A file of the run is wrong or missing.
    """
    folder = path.parent if path.name == FILE else path
    results = read_results(path)
    results.refuse_unscored("compared")
    truth = read_annotations(folder / results.truth)
    seeds = [row for row in results.rows if row.kind == "seed"]
    soups = [row for row in results.rows if row.kind in ("soup", "single")]
    if not seeds:
        raise RunError(f"{folder}: the run has no seeds, so there is nothing to compare. Run it again.")
    singles = [_member_of(row, folder, truth, metrics) for row in seeds]
    return System(
        name=results.recipe,
        location=folder,
        queries=singles[0].queries,
        singles=ComparedModel(_mean_of(len(seeds), "seed"), _stacked(singles, metrics)),
        soups=tuple(
            ComparedModel(row.member, _stacked([_member_of(row, folder, truth, metrics)], metrics))
            for row in soups
        ),
        results=results,
        features=_features(folder / "lock.json"),
    )


def read_files(path: Path, truth: Path, metrics: Sequence[Metric]) -> System:
    """Read a prediction file, or a folder with one for each seed.

    Raises:
        RunError: There is no such file, or none in the folder.
        DataError: A file is wrong, or does not belong to the annotations.
    """
    files = prediction_files(path)
    queries = read_annotations(truth)
    found = [_evaluated(file, queries, truth, metrics) for file in files]
    name = _mean_of(len(files), "file") if path.is_dir() else "predictions"
    return System(path.name, path, found[0].queries, ComparedModel(name, _stacked(found, metrics)))


@dataclass(frozen=True, eq=False)
class _Values:
    """(Q,) values by metric of one prediction file, in the order of the ids."""

    queries: tuple[Query, ...]
    columns: tuple[Floats, ...]


def _member_of(row: Row, folder: Path, truth: Sequence[Query], metrics: Sequence[Metric]) -> _Values:
    found = _evaluated(folder / row.predictions, truth, folder, metrics)
    for metric, column in zip(metrics, found.columns, strict=True):
        said = row.metrics.get(metric.name, float(column.mean()))
        if abs(said - float(column.mean())) > 1e-6:
            raise RunError(
                f"{folder / row.predictions}: gives {metric.name} {column.mean():.2f}, but {FILE} says "
                f"{said:.2f}. A file was changed: move the folder away and run the recipe again."
            )
    return found


def _evaluated(file: Path, truth: Sequence[Query], place: Path, metrics: Sequence[Metric]) -> _Values:
    depth = max(1, *(metric.k for metric in metrics))
    found = read_predictions(file)
    try:
        whole = evaluate(found, truth, depth=depth)
    except DataError as error:
        raise DataError(f"{file} against {place}: {error}") from error
    order = sorted(range(len(whole.queries)), key=lambda at: str(whole.queries[at].qid))
    columns = tuple(metric.values(whole)[order] for metric in metrics)
    return _Values(tuple(whole.queries[at] for at in order), columns)


def _stacked(found: Sequence[_Values], metrics: Sequence[Metric]) -> Floats:
    table = [np.column_stack(each.columns) for each in found]
    return np.stack(table).reshape(len(found), -1, len(metrics))


def _mean_of(count: int, unit: str) -> str:
    return f"mean of {count} {unit}s" if count > 1 else f"1 {unit}"


def _features(file: Path) -> str:
    try:
        features = json.loads(file.read_bytes())["recipe"]["features"]
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror}). Run the recipe again.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            f"{file}: does not say which features the run heard with. Move the folder away and run the "
            "recipe again."
        ) from None
    return json.dumps(features, sort_keys=True)
