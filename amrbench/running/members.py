"""What a run is made of: one prediction file for each member, and the metrics it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from amrbench.annotations import Query, read_annotations, write_annotations
from amrbench.data.split import Split, with_shuffled_queries
from amrbench.files.predictions import Moments, read_predictions, write_predictions
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.results.metrics import Scores, score, score_by
from amrbench.results.priors import prior_rows
from amrbench.results.results import Kind, Row, Slice
from amrbench.running.finished import slug
from amrbench.running.trial import Trial
from amrbench.training.criterion import Criterion
from amrbench.training.inference import Ranking, predict
from amrbench.training.judge import SelectionJudge, Stored
from amrbench.training.stages import WEIGHTS, Spec, split_of, untrained
from amrbench.training.train import steady

PREDICTIONS = "predictions"
CONTROL = "seed 0, queries shuffled"
MEAN = "mean"


@dataclass(frozen=True)
class Member:
    """A prediction file of a run."""

    name: str
    kind: Kind
    file: str
    ingredients: tuple[str, ...] = ()
    note: str = ""


class Members:
    """Makes the members of a trial, one after another."""

    def __init__(self, trial: Trial, folder: Path, store: Path) -> None:
        self.trial = trial
        self.folder = folder
        self.store = store
        self.split_name = trial.plan.protocol.splits.report
        (folder / PREDICTIONS).mkdir(parents=True, exist_ok=True)

    def make(self) -> list[Member]:
        """Write all prediction files."""
        with steady(self.trial.plan.protocol.threads):
            members = [*self._seeds(), *self._soups()]
            # What shows how good others are shows nothing where nothing is scored.
            return [*members, self._control(), *self._priors()] if self.scored else members

    @property
    def scored(self) -> bool:
        """Whether the answers are public."""
        return answered(self.trial.report.queries)

    @property
    def truth(self) -> str:
        """Return the name of the annotation file in the run folder."""
        return f"annotations.{self.split_name}.jsonl"

    def write_truth(self) -> None:
        """Write the annotations that the members are scored against."""
        write_annotations(self.folder / self.truth, self.trial.report.queries)

    @cached_property
    def _spec(self) -> Spec:
        return self.trial.chains[0]

    @cached_property
    def _criterion(self) -> Criterion:
        return untrained(self._spec)

    @cached_property
    def _report(self) -> Split:
        return split_of((self.trial.report,), self._spec.recipe.limits)

    @cached_property
    def _ranking(self) -> list[Ranking]:
        return [part.build() for part in self._spec.recipe.ranking]

    def _seeds(self) -> Iterator[Member]:
        for spec in self.trial.chains:
            self._load(spec)
            yield self._written(spec.member, "seed", self._predict(self._report))

    def _soups(self) -> Iterator[Member]:
        if self.trial.plan.protocol.chains == "own":
            return  # Weights that share no pre-training lie in different valleys: their mean is no model.
        soup = self._spec.recipe.soup.build()
        candidates = [Stored(spec, self.store) for spec in self.trial.chains]
        for name, mixture in soup(candidates, SelectionJudge(self._spec, self._criterion)).items():
            load_weights(self._criterion, mixture.weights, name=name)
            about = {"member": name, "ingredients": list(mixture.ingredients), **mixture.about}
            write_weights(self.folder / f"{slug(name)}.safetensors", mixture.weights, about)
            member = self._written(name, mixture.kind, self._predict(self._report))
            yield replace(member, ingredients=tuple(mixture.ingredients), note=mixture.note)

    def _control(self) -> Member:
        self._load(self._spec)
        shuffled = with_shuffled_queries(self._report, seed=0)
        return self._written(CONTROL, "control", self._predict(shuffled))

    def _priors(self) -> Iterator[Member]:
        for name, moments in prior_rows(self.trial.report.queries).items():
            yield self._written(name, "prior", moments)

    def _load(self, spec: Spec) -> None:
        file = self.store / spec.key / WEIGHTS
        load_weights(self._criterion, read_weights(file), name=str(file))

    def _predict(self, split: Split) -> list[Moments]:
        device = torch.device(self._spec.device)
        return predict(self._criterion.model, split, device=device, ranking=self._ranking)

    def _written(self, name: str, kind: Kind, moments: Sequence[Moments]) -> Member:
        file = f"{PREDICTIONS}/{slug(name)}.{self.split_name}.jsonl"
        write_predictions(self.folder / file, moments)
        return Member(name, kind, file)


def rows_of(members: Sequence[Member], folder: Path, truth: str, slices: Sequence[str]) -> list[Row]:
    """Return the rows of a table from the written files alone; the mean stands after the seeds.

    Where no answer is public, rows have no metrics and there is no mean.
    """
    queries = read_annotations(folder / truth)
    split = Path(truth).suffixes[0].removeprefix(".")
    if not answered(queries):
        return [_unscored(member, len(queries), split) for member in members]
    rows = [_row(member, folder, queries, split, slices) for member in members]
    seeds = [row for row in rows if row.kind == "seed"]
    return [*seeds, mean_row(seeds), *(row for row in rows if row.kind != "seed")]


def mean_row(rows: Sequence[Row]) -> Row:
    """Return the mean of the metrics of some members, slice by slice."""
    first = rows[0]
    slices = {
        key: tuple(
            part.model_copy(update={"metrics": _mean([row.slices[key][at].metrics for row in rows])})
            for at, part in enumerate(parts)
        )
        for key, parts in first.slices.items()
    }
    metrics = _mean([row.metrics for row in rows])
    return first.model_copy(
        update={"member": MEAN, "kind": "mean", "metrics": metrics, "slices": slices, "predictions": ""}
    )


def answered(queries: Sequence[Query]) -> bool:
    """Whether any query has public answers."""
    return any(query.windows for query in queries)


def _unscored(member: Member, queries: int, split: str) -> Row:
    return Row(
        member=member.name,
        kind=member.kind,
        split=split,
        queries=queries,
        metrics={},
        predictions=member.file,
        ingredients=member.ingredients,
        note=member.note,
    )


def _row(member: Member, folder: Path, queries: Sequence[Query], split: str, slices: Sequence[str]) -> Row:
    moments = read_predictions(folder / member.file)
    scores = score(moments, queries)
    return Row(
        member=member.name,
        kind=member.kind,
        split=split,
        queries=scores.queries,
        metrics=scores.metrics,
        slices={key: _slices(score_by(moments, queries, key)) for key in slices},
        predictions=member.file,
        ingredients=member.ingredients,
        note=member.note,
    )


def _slices(groups: Mapping[str, Scores]) -> tuple[Slice, ...]:
    return tuple(
        Slice(value=value, queries=scores.queries, metrics=scores.metrics)
        for value, scores in sorted(groups.items())
    )


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]}
