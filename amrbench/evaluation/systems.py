"""The systems that are compared: runs and prediction files with the value of each query. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amrbench.errors import DataError, RunError
from amrbench.evaluation.metrics_file import LOCK, METRICS, Results, Row, read_results
from amrbench.files.annotations import read_annotations
from amrbench.files.predictions import read_predictions
from amrbench.functional.metrics import Metric, evaluate
from amrbench.types import Floats, Query


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One or several models whose values are averaged.

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
        location: The folder of the run, or the prediction file or folder.
        queries: The Q scored queries, sorted by id as text.
        singles: Its single models, one for each seed.
        soups: Its soups.
        results: Of a run; None for prediction files.
        features: The encoder of a run, as JSON; empty for prediction files, which do not name it.
    """

    name: str
    location: Path
    queries: tuple[Query, ...]
    singles: ComparedModel
    soups: tuple[ComparedModel, ...] = ()
    results: Results | None = None
    features: str = ""


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run, finished or not, or its metrics.json."""
    return path.name == METRICS or (path / METRICS).is_file() or (path / "recipe.yaml").is_file()


def run_folder(path: Path) -> Path:
    """Return the folder of a run that is given by its metrics.json; any other path is returned as it is."""
    return path.parent if path.name == METRICS else path


def prediction_files(path: Path) -> list[Path]:
    """Return the predictions of the seeds of a run, a prediction file itself, or those in a folder.

    Raises:
        RunError: The run is not finished, or there is no prediction file.
    """
    if is_run(path):
        return [run_folder(path) / row.predictions for row in read_results(path).rows if row.kind == "seed"]
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise RunError(f"{path}: there is no run and no prediction file (*.jsonl) here. Check the path.")
    return files


def read_run(path: Path, metrics: Sequence[Metric]) -> System:
    """Read the seeds and soups of a finished run from its prediction files.

    Args:
        path: The folder of the run, or its metrics.json.
        metrics: The M metrics of `ComparedModel.values`.

    Raises:
        RunError: The run is not finished, or its files do not give its metrics.
        DataError: A file of the run is wrong or missing.
    """
    folder = run_folder(path)
    results = read_results(path)
    results.refuse_unscored("compared")
    truth = read_annotations(folder / results.truth)
    singles, soups = [], []
    for row in results.rows:
        if row.kind == "seed":
            singles.append(_evaluate_row(row, folder, truth, metrics))
        elif row.kind in ("soup", "single"):
            values = _evaluate_row(row, folder, truth, metrics)
            soups.append(ComparedModel(row.member, _stacked([values])))
    if not singles:
        raise RunError(f"{folder}: the run has no seeds, so there is nothing to compare. Run it again.")
    return System(
        name=results.recipe,
        location=folder,
        queries=singles[0].queries,
        singles=ComparedModel(_mean_of(len(singles), "seed"), _stacked(singles)),
        soups=tuple(soups),
        results=results,
        features=_features(folder / LOCK),
    )


def read_files(path: Path, truth: Path, metrics: Sequence[Metric]) -> System:
    """Read a prediction file, or a folder with one for each seed.

    Args:
        path: The file or folder.
        truth: The annotation file.
        metrics: The M metrics of `ComparedModel.values`.

    Raises:
        RunError: There is no such file, or none in the folder.
        DataError: A file is wrong, or does not belong to the annotations.
    """
    files = prediction_files(path)
    queries = read_annotations(truth)
    singles = [_evaluate_file(file, queries, truth, metrics) for file in files]
    name = _mean_of(len(files), "file") if path.is_dir() else "predictions"
    return System(path.name, path, singles[0].queries, ComparedModel(name, _stacked(singles)))


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of one prediction file.

    Attributes:
        queries: The Q scored queries, sorted by id as text.
        table: (Q, M) percent for each query and metric.
    """

    queries: tuple[Query, ...]
    table: Floats


def _evaluate_row(row: Row, folder: Path, truth: Sequence[Query], metrics: Sequence[Metric]) -> _Values:
    """Evaluate the predictions of a row and compare them with the metrics that the run recorded."""
    file = folder / row.predictions
    values = _evaluate_file(file, truth, folder, metrics)
    for metric, mean in zip(metrics, values.table.mean(axis=0).tolist(), strict=True):
        recorded = row.metrics.get(metric.name, mean)
        if abs(recorded - mean) > 1e-6:
            raise RunError(
                f"{file}: gives {metric.name} {mean:.2f}, but {METRICS} says {recorded:.2f}. A file was "
                "changed: move the folder away and run the recipe again."
            )
    return values


def _evaluate_file(
    file: Path, truth: Sequence[Query], truth_path: Path, metrics: Sequence[Metric]
) -> _Values:
    depth = max(1, *(metric.k for metric in metrics))
    predictions = read_predictions(file)
    try:
        evaluation = evaluate(predictions, truth, depth=depth)
    except DataError as error:
        raise DataError(f"{file} against {truth_path}: {error}") from error
    order = sorted(range(len(evaluation.queries)), key=lambda index: str(evaluation.queries[index].qid))
    columns = [metric.values(evaluation)[order] for metric in metrics]
    return _Values(tuple(evaluation.queries[index] for index in order), np.column_stack(columns))


def _stacked(files: Sequence[_Values]) -> Floats:
    return np.stack([values.table for values in files])


def _mean_of(count: int, unit: str) -> str:
    return f"mean of {count} {unit}s" if count > 1 else f"1 {unit}"


def _features(file: Path) -> str:
    """Return the encoder that lock.json names, as JSON with sorted keys."""
    try:
        features = json.loads(file.read_bytes())["recipe"]["features"]
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror}). Run the recipe again.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            f"{file}: does not say which features the run used. Move the folder away and run the recipe "
            "again."
        ) from None
    return json.dumps(features, sort_keys=True)
