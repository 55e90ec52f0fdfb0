"""The models of a run: a prediction file for each, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from amrbench.data.feature_dataset import DatasetCache, FeatureDataset, with_shuffled_queries
from amrbench.evaluation.baselines import baseline_predictions
from amrbench.evaluation.metrics_file import Kind, Row, Slice
from amrbench.experiment.finished_run import slug
from amrbench.experiment.plan import PlannedRun
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.functional.metrics import Scores, score, score_by
from amrbench.training.criterion import Criterion
from amrbench.training.loop import fixed_numerics
from amrbench.training.predict import predict
from amrbench.training.soup_candidates import SelectionScorer, StoredCandidate
from amrbench.training.stages import WEIGHTS, StageSpec, untrained
from amrbench.types import Moments, Query, Ranking

PREDICTIONS = "predictions"
CONTROL = "seed 0, queries shuffled"
MEAN = "mean"


@dataclass(frozen=True)
class RunModel:
    """A model of a run and its prediction file."""

    name: str
    kind: Kind
    file: str
    ingredients: tuple[str, ...] = ()
    note: str = ""


class PredictionWriter:
    """Writes the prediction files of a run."""

    def __init__(self, planned: PlannedRun, folder: Path, store: Path, datasets: DatasetCache) -> None:
        self.planned = planned
        self.folder = folder
        self.store = store
        self.datasets = datasets
        self.split = planned.request.protocol.splits.report
        (folder / PREDICTIONS).mkdir(parents=True, exist_ok=True)

    def write_all(self) -> list[RunModel]:
        """Write all prediction files; control and baselines only if there is a ground truth to score them."""
        with fixed_numerics(self.planned.request.protocol.threads):
            models = [*self._seeds(), *self._soups()]
            if has_truth(self.planned.report.queries):
                models += [self._control(), *self._baselines()]
            return models

    @property
    def truth(self) -> str:
        """Return the name of the annotation file in the run's folder."""
        return f"annotations.{self.split}.jsonl"

    def write_truth(self) -> None:
        """Write the annotations that the predictions are scored against."""
        write_annotations(self.folder / self.truth, self.planned.report.queries)

    @cached_property
    def _spec(self) -> StageSpec:
        return self.planned.chains[0]

    @cached_property
    def _criterion(self) -> Criterion:
        return untrained(self._spec, self.datasets)

    @cached_property
    def _report(self) -> FeatureDataset:
        return self.datasets.load((self.planned.report,), self._spec.recipe.limits)

    @cached_property
    def _ranking(self) -> list[Ranking]:
        return [part.build() for part in self._spec.recipe.ranking]

    def _seeds(self) -> Iterator[RunModel]:
        for spec in self.planned.chains:
            self._load(spec)
            yield self._written(spec.model_name, "seed", self._predict(self._report))

    def _soups(self) -> Iterator[RunModel]:
        if self.planned.request.protocol.chains == "own":
            return  # Without a shared pre-training, the mean of weights is no working model.
        soup = self._spec.recipe.soup.build()
        candidates = [StoredCandidate(spec, self.store) for spec in self.planned.chains]
        scorer = SelectionScorer(self._spec, self._criterion, self.datasets)
        for name, result in soup(candidates, scorer).items():
            load_weights(self._criterion, result.weights, name=name)
            about = {"member": name, "ingredients": list(result.ingredients), **result.about}
            write_weights(self.folder / f"{slug(name)}.safetensors", result.weights, about)
            model = self._written(name, result.kind, self._predict(self._report))
            yield replace(model, ingredients=tuple(result.ingredients), note=result.note)

    def _control(self) -> RunModel:
        self._load(self._spec)
        shuffled = with_shuffled_queries(self._report, seed=0)
        return self._written(CONTROL, "control", self._predict(shuffled))

    def _baselines(self) -> Iterator[RunModel]:
        for name, moments in baseline_predictions(self.planned.report.queries).items():
            yield self._written(name, "prior", moments)

    def _load(self, spec: StageSpec) -> None:
        file = self.store / spec.key / WEIGHTS
        load_weights(self._criterion, read_weights(file), name=str(file))

    def _predict(self, dataset: FeatureDataset) -> list[Moments]:
        device = torch.device(self._spec.device)
        return predict(self._criterion.model, dataset, device=device, ranking=self._ranking)

    def _written(self, name: str, kind: Kind, moments: Sequence[Moments]) -> RunModel:
        file = f"{PREDICTIONS}/{slug(name)}.{self.split}.jsonl"
        write_predictions(self.folder / file, moments)
        return RunModel(name, kind, file)


def result_rows(models: Sequence[RunModel], folder: Path, truth: str, slices: Sequence[str]) -> list[Row]:
    """Return the rows of a table, read from the written files; the mean comes after the seeds.

    Without a public ground truth, rows have no metrics and there is no mean.

    Args:
        models: Of the run.
        folder: Of the run.
        truth: Name of its annotation file.
        slices: Keys of queries whose values are scored one by one.
    """
    queries = read_annotations(folder / truth)
    split = Path(truth).suffixes[0].removeprefix(".")
    if not has_truth(queries):
        return [_row(model, split, len(queries)) for model in models]
    rows = [_scored_row(model, folder, queries, split, slices) for model in models]
    seeds = [row for row in rows if row.kind == "seed"]
    return [*seeds, mean_row(seeds), *(row for row in rows if row.kind != "seed")]


def mean_row(rows: Sequence[Row]) -> Row:
    """Return the mean of the metrics of some models, also of each slice."""
    first = rows[0]
    slices = {
        key: tuple(
            part.model_copy(update={"metrics": _mean([row.slices[key][index].metrics for row in rows])})
            for index, part in enumerate(parts)
        )
        for key, parts in first.slices.items()
    }
    metrics = _mean([row.metrics for row in rows])
    return first.model_copy(
        update={"member": MEAN, "kind": "mean", "metrics": metrics, "slices": slices, "predictions": ""}
    )


def has_truth(queries: Sequence[Query]) -> bool:
    """Whether the ground truth of any query is public."""
    return any(query.windows for query in queries)


def _row(
    model: RunModel,
    split: str,
    queries: int,
    metrics: Mapping[str, float] | None = None,
    slices: Mapping[str, tuple[Slice, ...]] | None = None,
) -> Row:
    return Row(
        member=model.name,
        kind=model.kind,
        split=split,
        queries=queries,
        metrics=metrics or {},
        slices=slices or {},
        predictions=model.file,
        ingredients=model.ingredients,
        note=model.note,
    )


def _scored_row(
    model: RunModel, folder: Path, queries: Sequence[Query], split: str, slices: Sequence[str]
) -> Row:
    moments = read_predictions(folder / model.file)
    scores = score(moments, queries)
    by_key = {key: _slices(score_by(moments, queries, key)) for key in slices}
    return _row(model, split, scores.queries, scores.metrics, by_key)


def _slices(groups: Mapping[str, Scores]) -> tuple[Slice, ...]:
    return tuple(
        Slice(value=value, queries=scores.queries, metrics=scores.metrics)
        for value, scores in sorted(groups.items())
    )


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in metrics) / len(metrics) for name in metrics[0]}
