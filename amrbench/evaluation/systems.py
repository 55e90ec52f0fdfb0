"""The systems that are compared: runs and prediction files with the value of each query. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from amrbench.errors import DataError, RunError, some
from amrbench.evaluation.result import RESULT, Result, read_result, refuse_mixed
from amrbench.evaluation.score_files import note_other_sentences
from amrbench.files.annotations import read_annotations
from amrbench.files.checksums import refuse_changed
from amrbench.files.predictions import read_predictions
from amrbench.functional.aligned_windows import AlignedWindows, align, same_recording
from amrbench.functional.metrics import Metric, evaluate_aligned
from amrbench.types import Floats, Query, Window

PREDICTIONS = "predictions"
"""The folder of a run with the prediction files of all its members."""


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One or several models whose values are averaged.

    Attributes:
        name: E.g. "mean of 2 seeds", or the name of a soup.
        values: (S, Q, M) percent for each prediction file, query and metric; S is 1 for a soup.
        windows: Of each prediction file, with its queries in the order of the annotations.
    """

    name: str
    values: Floats
    windows: tuple[AlignedWindows, ...]


@dataclass(frozen=True, eq=False)
class System:
    """One side of a comparison.

    Attributes:
        name: Name of the recipe, or of the file or folder.
        location: The folder of the run, or the prediction file or folder.
        queries: The Q scored queries, sorted by id as text.
        singles: Its single models, one for each seed.
        soups: Its soups.
        result: Of a run; None for prediction files.
    """

    name: str
    location: Path
    queries: tuple[Query, ...]
    singles: ComparedModel
    soups: tuple[ComparedModel, ...] = ()
    result: Result | None = None


@dataclass(frozen=True)
class Compared:
    """What systems must agree on for a query.

    Attributes:
        vid: Its recording.
        windows: Its annotated windows; empty where they are not known.
    """

    vid: str
    windows: tuple[Window, ...] = ()


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run, finished or not, or its result.json."""
    return path.name == RESULT or (path / RESULT).is_file() or (path / "recipe.yaml").is_file()


def run_folder(path: Path) -> Path:
    """Return the folder of a run that is given by its result.json; any other path is returned as it is."""
    return path.parent if path.name == RESULT else path


def prediction_files(path: Path) -> list[Path]:
    """Return the predictions of the seeds of a run, a prediction file itself, or those in a folder.

    Raises:
        RunError: The run is not finished or was changed, there is no prediction file, or the folder is that
            of all predictions of a run.
        DataError: A prediction file of a finished run was changed.
    """
    if is_run(path):
        return [run_folder(path) / row.predictions for row in read_result(path).rows if row.kind == "seed"]
    _refuse_inside_of_run(path)
    files = _in_folder(path) if path.is_dir() else [path]
    if not files or not path.exists():
        raise RunError(f"{path}: there is no run and no prediction file (*.jsonl) here. Check the path.")
    for file in files:
        refuse_changed(file)
    return files


def _refuse_inside_of_run(folder: Path) -> None:
    """Raise RunError for the folder of a run's predictions: its baselines and control are no seeds."""
    folder = folder if folder.name == PREDICTIONS else folder.resolve()  # It may be given as "." or a link.
    if folder.name == PREDICTIONS and folder.is_dir() and is_run(folder.parent):
        raise RunError(
            f"{folder}: this is the folder of predictions of the run {folder.parent}: its baselines would "
            "count as seeds. Give the run itself, or single files."
        )


def _in_folder(folder: Path) -> list[Path]:
    """Return the prediction files in a folder, also compressed ones; RunError if one is there twice."""
    files = [path for path in sorted(folder.iterdir()) if path.name[0] != "."]
    named = {path: path.name.lower().removesuffix(".gz") for path in files}
    files = [path for path in files if named[path].endswith(".jsonl")]
    first: dict[str, Path] = {}
    for path in files:
        if (other := first.setdefault(named[path], path)) != path:
            raise RunError(f"{path}: {other} has the same name but for its suffix. Move one of them away.")
    return files


def read_truth(truth: Path) -> list[Query]:
    """Read the annotations of prediction files; DataError if they are wrong, or of a run and changed."""
    refuse_changed(truth)
    return read_annotations(truth)


def read_system(
    path: Path,
    metrics: Sequence[Metric],
    truth: Path | None = None,
    *,
    read: Callable[[Path], list[Query]] = read_truth,
) -> System:
    """Read a finished run, a prediction file, or a folder with a prediction file for each seed.

    Args:
        path: The folder of the run or its result.json, the file, or the folder.
        metrics: The M metrics of `ComparedModel.values`.
        truth: The annotations of prediction files; a run has its own.
        read: Reads them.

    Raises:
        RunError: The run is not finished or its files do not give its metrics, or there is no such file.
        DataError: A file is wrong or missing, or does not belong to the annotations.
    """
    if is_run(path):
        return _read_run(path, metrics)
    if not path.exists():
        raise RunError(f"{path}: there is no such run or prediction file. Check the path.")
    if truth is None:
        raise RunError(
            f"{path}: not a run (no result.json). Prediction files need the annotations too: --truth FILE."
        )
    annotated = read(truth)
    evaluated = [_evaluate(file, annotated, truth, metrics) for file in prediction_files(path)]
    name = _mean_of(len(evaluated), "file") if path.is_dir() else "predictions"
    return System(path.name, path, evaluated[0].queries, _model(name, evaluated))


def read_systems(
    sources: Sequence[Path],
    metrics: Sequence[Metric],
    *,
    against: Path | None = None,
    truth: Path | None = None,
) -> list[System]:
    """Read systems that answer the same queries, each once, with names that differ.

    Args:
        sources: At least one run folder, prediction file, or folder with a prediction file for each seed.
        metrics: The M metrics of `ComparedModel.values`.
        against: The system that comes first; the first source by default.
        truth: Annotations of the prediction files; runs have their own.

    Raises:
        RunError: A run is not finished, or the sources cannot be compared.
        DataError: A file is wrong or missing.
    """
    every = [*([against] if against else ()), *sources]
    paths = list({run_folder(path).resolve(): path for path in every}.values())
    if not paths:
        raise RunError("there is nothing to compare: give a run folder or a prediction file.")
    if truth is not None:
        refuse_truth_of_runs(paths, truth)
    read = cache(read_truth)  # For all systems at once: a pipe can be read only once.
    systems = [read_system(path, metrics, truth, read=read) for path in paths]
    names = distinct_names([(system.name, system.location) for system in systems])
    systems = [replace(system, name=name) for system, name in zip(systems, names, strict=True)]
    if runs := {str(system.location): system.result for system in systems if system.result}:
        refuse_mixed(runs)
    contents = [
        {str(query.qid): Compared(query.vid, query.windows) for query in system.queries} for system in systems
    ]
    for system, content in zip(systems, contents, strict=True):
        refuse_other_queries(systems[0].location, contents[0], system.location, content)
    return systems


def refuse_truth_of_runs(paths: Sequence[Path], truth: Path) -> None:
    """Raise RunError if there is no prediction file that annotations are for.

    Args:
        paths: Of runs and prediction files.
        truth: The annotations.
    """
    if not all(is_run(path) for path in paths):
        return
    for path in paths:
        if not (result := read_result(path)).scored:
            file = run_folder(path) / result.rows[0].predictions
            raise RunError(
                f"{truth}: --truth is for prediction files only, and {path} is a run whose ground truth is "
                f"not public. Give its prediction files instead of the run, e.g. {file}."
            )
    raise RunError(f"{truth}: runs bring their own annotations; --truth is for prediction files only.")


def distinct_names(named: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the names of systems, with the location behind a name that several have.

    >>> distinct_names([("ours", Path("a")), ("ours", Path("b")), ("theirs", Path("c"))])
    ['ours (a)', 'ours (b)', 'theirs']
    """
    count = Counter(name for name, _ in named)
    return [name if count[name] == 1 else f"{name} ({location})" for name, location in named]


def refuse_other_queries(
    first: Path, one: Mapping[str, Compared], second: Path, two: Mapping[str, Compared]
) -> None:
    """Raise RunError unless two systems have the same queries.

    Args:
        first: Path of the first system.
        one: What must be equal, by id of the query.
        second: Path of the second system.
        two: The same of the second system.
    """
    faults = [
        f"only {path} has {some(sorted(own.keys() - other.keys()))}"
        for path, own, other in ((first, one, two), (second, two, one))
        if own.keys() - other.keys()
    ]
    common = [qid for qid in one if qid in two]
    moved = [qid for qid in common if not same_recording(one[qid].vid, two[qid].vid)]
    if moved:
        vids = " and ".join(repr(own[moved[0]].vid) for own in (one, two))
        faults.append(f"{len(moved):,} queries are about other recordings, e.g. {moved[0]!r} about {vids}")
    if changed := [qid for qid in common if one[qid].windows != two[qid].windows]:
        faults.append(f"{some(changed)} have other windows")
    if faults:
        raise RunError(
            f"{first} and {second} do not answer the same queries: {'; '.join(faults)}. "
            "Take predictions for the same annotations."
        )


@dataclass(frozen=True, eq=False)
class _Evaluated:
    """A prediction file: its Q scored queries, sorted by id as text, their values (Q, M), and the windows."""

    queries: tuple[Query, ...]
    values: Floats
    windows: AlignedWindows


def _read_run(path: Path, metrics: Sequence[Metric]) -> System:
    folder, result = run_folder(path), read_result(path)
    result.refuse_unscored("compared")
    truth = folder / result.truth
    annotated = read_annotations(truth)
    queries: tuple[Query, ...] = ()
    singles, soups = [], []
    for row in result.rows:
        if row.kind not in ("seed", "soup", "single"):
            continue
        file = folder / row.predictions
        evaluated = _evaluate(file, annotated, truth, metrics)
        queries = evaluated.queries
        for metric, mean in zip(metrics, evaluated.values.mean(axis=0).tolist(), strict=True):
            recorded = row.metrics.get(metric.name, mean)
            if abs(recorded - mean) > 1e-6:
                raise RunError(
                    f"{file}: gives {metric.name} {mean:.2f}, but {RESULT} says {recorded:.2f}. A file was "
                    "changed: move the folder away and run the recipe again."
                )
        if row.kind == "seed":
            singles.append(evaluated)
        else:
            soups.append(_model(row.member, [evaluated]))
    if not singles:
        raise RunError(f"{folder}: the run has no seeds, so there is nothing to compare. Run it again.")
    model = _model(_mean_of(len(singles), "seed"), singles)
    return System(result.recipe.name, folder, queries, model, tuple(soups), result)


def _model(name: str, files: Sequence[_Evaluated]) -> ComparedModel:
    return ComparedModel(
        name, np.stack([file.values for file in files]), tuple(file.windows for file in files)
    )


def _evaluate(file: Path, annotated: Sequence[Query], truth: Path, metrics: Sequence[Metric]) -> _Evaluated:
    predictions = read_predictions(file)
    try:
        windows = align(predictions, annotated)
    except DataError as error:
        raise DataError(f"{file} against {truth}: {error}") from error
    evaluation = evaluate_aligned(windows, depth=max(1, *(metric.k for metric in metrics)))
    note_other_sentences(file, predictions, annotated)
    order = sorted(range(len(evaluation.queries)), key=lambda index: str(evaluation.queries[index].qid))
    values = np.column_stack([metric.values(evaluation)[order] for metric in metrics])
    return _Evaluated(tuple(evaluation.queries[index] for index in order), values, windows)


def _mean_of(count: int, unit: str) -> str:
    return f"mean of {count} {unit}s" if count > 1 else f"1 {unit}"
