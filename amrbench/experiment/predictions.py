"""The models of a run: a prediction file for each, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch

from amrbench.data.feature_dataset import (
    DatasetCache,
    FeatureDataset,
    why_not_shuffled,
    with_shuffled_queries,
)
from amrbench.data.out_of_memory import explained_memory
from amrbench.data.worker_pool import Progress
from amrbench.errors import RunError
from amrbench.evaluation.baselines import baseline_predictions
from amrbench.evaluation.result import Fitted, Kind, Row, Slice
from amrbench.evaluation.systems import PREDICTIONS
from amrbench.experiment.finished_run import slug
from amrbench.experiment.plan import PlannedRun
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.checksums import changed_files
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.files.saliency import Saliency, write_saliency
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.functional.metrics import score, score_by
from amrbench.interfaces import check_results, checked_result
from amrbench.notes import note
from amrbench.plugin_errors import naming_plugins
from amrbench.slots.readout import Readout
from amrbench.slots.soups import SoupResult
from amrbench.training.criterion import Criterion
from amrbench.training.loop import LESS_MEMORY
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import Watch, ranked, read, reported
from amrbench.training.progress_bars import Reporter
from amrbench.training.reading import Examples, build_reading, fit_reading
from amrbench.training.saliency import SaliencyCollector
from amrbench.training.soup_candidates import SelectionScorer, StoredCandidate
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import weights_file
from amrbench.training.stages import untrained
from amrbench.types import Candidates, Moments, Outputs, Query

SALIENCY = "saliency"
CONTROL = "seed 0, queries shuffled"
MEAN = "mean"


class PredictionWriter:
    """Writes the prediction files of a run."""

    def __init__(
        self, planned: PlannedRun, folder: Path, store: Path, datasets: DatasetCache, reporter: Reporter
    ) -> None:
        self.planned = planned
        self.reporter = reporter
        self.folder = folder
        self.store = store
        self.datasets = datasets
        self.spec = planned.chains[0]
        self.split = planned.request.protocol.splits.report

    @property
    def truth(self) -> str:
        """Return the name of the annotation file in the run's folder."""
        return f"annotations.{self.split}.jsonl"

    def write_all(self) -> list[Row]:
        """Write annotations and predictions, and return a row without metrics for each prediction file.

        There are a control and baselines only if there is a ground truth to score them.

        Raises:
            RunError: A stage is not as it was trained, or memory is short.
        """
        queries = self.planned.report.queries
        for spec in self.planned.stages:
            self._refuse_changed(spec)
        self.reporter.scoring(Progress(f"{self.spec.recipe.name}: reading features", 0, 0))
        (self.folder / PREDICTIONS).mkdir(parents=True, exist_ok=True)
        write_annotations(self.folder / self.truth, queries)
        with (
            naming_plugins(self.spec.recipe),
            fixed_numerics(self.planned.request.protocol.threads, self.spec.device),
            explained_memory(f"{self.spec.recipe.name}, scoring", LESS_MEMORY),
        ):
            rows = [self._first_seed()]
            for spec in self.planned.chains[1:]:
                self._load(spec)
                rows.append(self._predicted(spec.model_name, "seed"))
            rows += self._soups()
            if has_truth(queries):
                rows.append(self._control(rows[0].fitted))
                for name, moments in baseline_predictions(queries).items():
                    rows.append(self._written(name, "prior", moments))
            return rows

    @cached_property
    def _criterion(self) -> Criterion:
        return untrained(self.spec, self.datasets)

    @cached_property
    def _report(self) -> FeatureDataset:
        return self.datasets.load((self.planned.report,), self.spec.recipe.limits)

    @cached_property
    def _train(self) -> FeatureDataset:
        return self.datasets.load(self.spec.train, self.spec.recipe.limits)

    @cached_property
    def _select(self) -> FeatureDataset:
        return self.datasets.load((self.spec.select,), self.spec.recipe.limits)

    def _soups(self) -> Iterator[Row]:
        if self.planned.request.protocol.chains == "own":
            return  # Without a shared pre-training, the mean of weights is no working model.
        soup = self.spec.recipe.soup.build()
        candidates = [StoredCandidate(spec, self.store) for spec in self.planned.chains]
        scorer = SelectionScorer(self.spec, self._criterion, self.datasets, self.reporter.scoring)
        soups = checked_result(soup, "__call__", soup(candidates, scorer), Mapping)  # type: ignore[type-abstract]
        check_results(soup, "__call__", soups.values(), SoupResult)
        for name, result in soups.items():
            load_weights(self._criterion, result.weights, name=name)
            about = {"member": name, "ingredients": list(result.ingredients), **result.about}
            write_weights(self.folder / f"{slug(name)}.safetensors", result.weights, about)
            row = self._predicted(name, result.kind)
            yield row.model_copy(update={"ingredients": tuple(result.ingredients), "note": result.note})

    def _control(self, fitted: Fitted) -> Row:
        """Return the row of the first seed with shuffled queries, or one that says why there is none.

        `fitted` is what was fitted for this seed.
        """
        reason = why_not_shuffled(self.planned.report.queries)
        if reason:
            location = self.planned.request.splits.report.location
            note(f"{location}: the row {CONTROL!r} is missing, because {reason}.")
            return Row(
                member=CONTROL,
                kind="control",
                split=self.split,
                queries=0,
                metrics={},
                note=f"missing, because {reason}",
            )
        self._load(self.spec)
        shuffled = with_shuffled_queries(self._report, seed=0)
        return self._written(CONTROL, "control", self._predict(shuffled, CONTROL, fitted))

    def _refuse_changed(self, spec: StageSpec) -> None:
        """Raise RunError if a stage is not as it was trained, which may have been long ago."""
        if faults := changed_files(self.store / spec.key):
            raise RunError(
                f"{self.store / spec.key}: {faults[0]} since {spec.name} was trained. Give the same command "
                "again; it trains the stage again."
            )

    def _load(self, spec: StageSpec) -> None:
        file = self.store / spec.key / weights_file(spec.recipe.selected_by)
        load_weights(self._criterion, read_weights(file), name=str(file))

    def _first_seed(self) -> Row:
        """Return the row of the first seed, after writing its predictions and its saliency, if it has one."""
        self._load(self.spec)
        collector = SaliencyCollector()
        row = self._predicted(self.spec.model_name, "seed", collector)
        if not (values := collector.rows()):
            return row
        file = f"{SALIENCY}/{slug(row.member)}.{self.split}.jsonl"
        (self.folder / SALIENCY).mkdir(exist_ok=True)
        write_saliency(
            self.folder / file,
            (
                Saliency(query.qid, query.vid, self._report.hop, own)
                for query, own in zip(self._report.queries, values, strict=True)
            ),
        )
        return row.model_copy(update={"saliency": file})

    def _predicted(self, name: str, kind: Kind, watch: Watch = lambda *_: None) -> Row:
        """Return the row of the model whose weights are loaded, after writing its predictions."""
        fitted = self._fit(name)
        row = self._written(name, kind, self._predict(self._report, name, fitted, watch))
        return row.model_copy(update={"fitted": fitted})

    def _fit(self, name: str) -> Fitted:
        """Fit read-out and ranking for the weights that are loaded; they never see the reported split."""

        def examples(readout: Readout) -> Examples:
            own = self._read(self._select, f"selection split of {name}", readout)
            return list(zip(own, self._select.queries, strict=True))

        return fit_reading(self.spec.recipe, self._train.window_widths(), examples)

    def _read(
        self, dataset: FeatureDataset, name: str, readout: Readout, watch: Watch = lambda *_: None
    ) -> list[Candidates]:
        what = f"{self.spec.recipe.name}: {name}"
        report = reported(self.reporter.scoring, what, dataset)

        def both(indices: Sequence[int], outputs: Outputs) -> None:
            report(indices, outputs)
            watch(indices, outputs)

        device = torch.device(self.spec.device)
        with explained_memory(what, LESS_MEMORY):
            return read(self._criterion.model, dataset, {"": readout}, device=device, watch=both)[""]

    def _predict(
        self, dataset: FeatureDataset, name: str, fitted: Fitted, watch: Watch = lambda *_: None
    ) -> list[Moments]:
        reading = build_reading(self.spec.recipe, fitted)
        candidates = self._read(dataset, f"predictions of {name}", reading.readout, watch)
        return ranked(candidates, dataset.queries, reading.ranking)

    def _written(self, name: str, kind: Kind, moments: Sequence[Moments]) -> Row:
        file = f"{PREDICTIONS}/{slug(name)}.{self.split}.jsonl"
        write_predictions(self.folder / file, moments)
        return Row(
            member=name, kind=kind, split=self.split, queries=len(moments), metrics={}, predictions=file
        )


def scored_rows(rows: Sequence[Row], folder: Path, truth: str, slices: Sequence[str]) -> list[Row]:
    """Return the rows with the metrics of their prediction files; the mean comes after the seeds.

    Without a public ground truth, rows have no metrics and there is no mean.

    Args:
        rows: Of the models of a run, without metrics.
        folder: Of the run.
        truth: Name of its annotation file.
        slices: Keys of queries whose values are scored one by one.
    """
    queries = read_annotations(folder / truth)
    if not has_truth(queries):
        return list(rows)
    scored = []
    for row in rows:
        if not row.predictions:
            scored.append(row)
            continue
        moments = read_predictions(folder / row.predictions)
        scores = score(moments, queries)
        by_key = {
            key: tuple(
                Slice(value=value, queries=part.queries, metrics=part.metrics)
                for value, part in sorted(score_by(moments, queries, key).items())
            )
            for key in slices
        }
        update = {"queries": scores.queries, "metrics": scores.metrics, "slices": by_key}
        scored.append(row.model_copy(update=update))
    seeds = [row for row in scored if row.kind == "seed"]
    return [*seeds, mean_row(seeds), *(row for row in scored if row.kind != "seed")]


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
    about = {"member": MEAN, "kind": "mean", "predictions": "", "saliency": "", "fitted": Fitted()}
    return first.model_copy(update={**about, "metrics": metrics, "slices": slices})


def has_truth(queries: Sequence[Query]) -> bool:
    """Whether the ground truth of any query is public."""
    return any(query.windows for query in queries)


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in metrics) / len(metrics) for name in metrics[0]}
