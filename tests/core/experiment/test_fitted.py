"""What read-outs and ranking steps take from data, and that they take nothing from what is scored."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from amrbench.data.feature_dataset import load_dataset
from amrbench.evaluation.result import read_result
from amrbench.experiment.finished_run import open_run
from amrbench.experiment.run import run
from amrbench.files.predictions import write_predictions
from amrbench.registry import Registry
from amrbench.slots.data import DatasetPart
from amrbench.slots.ranking import RankingPart
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import predict
from tests.small_world.data import SECONDS, EventsDataset
from tests.small_world.parts import PARTS, PROTOCOL, RECIPE, MeanWidth, Similar
from tests.small_world.runs import changed, request_of, settings_in, write_yaml

LEARNING = changed(RECIPE, training__readouts=["second"]) | {"readout": "second", "soup": "mean"}
LEARNING["ranking"] = ["cut", "mean-width"]


@dataclass(frozen=True)
class MovedDataset:
    """The toy data set; the windows of some splits are elsewhere."""

    inner: EventsDataset
    moved: tuple[str, ...]

    def splits(self):
        return self.inner.splits()

    def size(self, split):
        return self.inner.size(split)

    def recording(self, split, index):
        recording = self.inner.recording(split, index)
        if split not in self.moved:
            return recording
        elsewhere = {"windows": ((0.0, 1.0 + index % 3), (9.0, 10.0)), "extra": {"kind": "late"}}
        return replace(recording, queries=tuple(replace(query, **elsewhere) for query in recording.queries))

    def fingerprint(self):
        return f"{self.inner.fingerprint()} with other {self.moved}"


class Moved(DatasetPart):
    """See `MovedDataset`."""

    use = "moved"
    splits: tuple[str, ...] = ("test",)

    def build(self):
        return MovedDataset(EventsDataset("target", 12), self.splits)


class Cheat(RankingPart):
    """Answers with the truth, if it sees it."""

    use = "cheat"

    def build(self, fitted):
        def cheat(own, query):
            seen = query.windows or query.extra.get("windows")
            return own.with_windows(np.tile(seen[0], (len(own), 1))) if seen else own

        return cheat


ALL = Registry.of(*PARTS, Moved, Cheat)


def ran(folder, recipe=LEARNING, **data):
    """Return the result of a run with other data sets for some roles."""
    write_yaml(folder / "toy.yaml", recipe)
    write_yaml(folder / "tiny.yaml", PROTOCOL | {"data": PROTOCOL["data"] | data})
    return run(folder / "toy.yaml", folder / "tiny.yaml", registry=ALL, settings=settings_in(folder))


def predictions_of(run):
    """Return the bytes of the predictions of each model, by file."""
    models = [row for row in run.result.rows if row.kind in ("seed", "soup", "single", "control")]
    return {row.predictions: (run.folder / row.predictions).read_bytes() for row in models}


def test_predictions_do_not_depend_on_the_truth_of_what_is_scored(toy_folder):
    recipe = LEARNING | {"ranking": ["cut", "mean-width", "cheat"]}
    one = ran(toy_folder, recipe)
    other = ran(toy_folder, recipe, report={"use": "moved"})
    assert one.folder != other.folder
    assert len(predictions_of(one)) == 4
    assert predictions_of(one) == predictions_of(other)
    for row, moved in zip(one.result.rows, other.result.rows, strict=True):
        assert row.fitted == moved.fitted
    assert one.result.row("seed 0").metrics != other.result.row("seed 0").metrics


def test_ranking_learns_from_the_selection_split_and_the_readout_from_training(toy_folder):
    one = ran(toy_folder)
    other = ran(toy_folder, target={"use": "moved", "splits": ["val"]})
    fitted = [run.result.row("soup").fitted for run in (one, other)]
    assert fitted[0].ranking["mean-width"]["width"] == pytest.approx(
        mean_width(EventsDataset("target", 12), "val")
    )
    moved = MovedDataset(EventsDataset("target", 12), ("val",))
    assert fitted[1].ranking["mean-width"]["width"] == pytest.approx(mean_width(moved, "val"))
    width = mean_width(EventsDataset("target", 12), "train") / SECONDS
    assert fitted[0].readout["width"] == fitted[1].readout["width"] == pytest.approx(width)


def mean_width(dataset, split):
    """Return the mean width of the windows of a split, in seconds."""
    recordings = (dataset.recording(split, index) for index in range(dataset.size(split)))
    queries = [query for recording in recordings for query in recording.queries]
    return np.mean([end - start for query in queries for start, end in query.windows])


@pytest.fixture(scope="module")
def learned(new_toy_folder):
    """A run whose ranking learned something."""
    return ran(new_toy_folder())


def test_what_was_fitted_is_in_the_result_of_each_model(learned):
    rows = {row.member: row.fitted for row in read_result(learned.folder).rows}
    for name in ("seed 0", "seed 1", "soup"):
        assert list(rows[name].readout) == ["width"]
        assert list(rows[name].ranking) == ["mean-width"]
    assert rows["mean"].readout == rows["mean"].ranking == {}
    assert rows["whole recording"].readout == {}


def test_a_run_without_a_step_that_learns_reads_no_selection_split(toy_folder, monkeypatch):
    monkeypatch.setattr("amrbench.experiment.predictions.PredictionWriter._select", property(pytest.fail))
    fitted = ran(toy_folder, RECIPE).result.row("seed 0").fitted
    assert (fitted.readout, fitted.ranking) == ({}, {})


@pytest.mark.parametrize("member", ["seed 0", "seed 1", "soup"])
def test_a_run_read_back_predicts_the_same(learned, toy_sources, tmp_path, member, monkeypatch):
    monkeypatch.setattr(MeanWidth, "fit", pytest.fail)
    monkeypatch.setattr(Similar, "fit", pytest.fail)
    cache = learned.folder.parents[1] / "cache"
    opened = open_run(learned.folder, ALL, member=member, cache=cache)
    report = toy_sources[request_of(LEARNING).splits.report.key]
    dataset = load_dataset([report], opened.recipe.limits)
    with fixed_numerics(1):
        found = predict(opened.criterion.model, dataset, opened.reading, device=torch.device("cpu"))
    write_predictions(tmp_path / "again.jsonl", found)
    known = learned.folder / learned.result.row(member).predictions
    assert (tmp_path / "again.jsonl").read_bytes() == known.read_bytes()
