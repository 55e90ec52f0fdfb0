"""Runs on a split whose ground truth is not public: predictions and soups, but no metrics."""

from dataclasses import dataclass, replace

import pytest

from amrbench.errors import RunError
from amrbench.evaluation.compare import compare
from amrbench.evaluation.study_table import study_table
from amrbench.evaluation.table import run_table
from amrbench.experiment.run import run
from amrbench.files.predictions import read_predictions
from amrbench.registry import Registry
from amrbench.slots.data import DatasetPart
from tests.core.evaluation.test_study_table import study
from tests.small_world.data import EventsDataset
from tests.small_world.parts import PARTS, PROTOCOL, RECIPE
from tests.small_world.runs import settings_in, write_yaml


@dataclass(frozen=True)
class Hidden:
    """The toy data set without ground truth, in one split of another name."""

    inner: EventsDataset

    def splits(self):
        return ["evaluation"]

    def size(self, split):
        return self.inner.size("test")

    def recording(self, split, index):
        recording = self.inner.recording("test", index)
        return replace(recording, queries=tuple(replace(query, windows=()) for query in recording.queries))

    def fingerprint(self):
        return f"hidden {self.inner.fingerprint()}"


class HiddenToy(DatasetPart):
    """The toy data set without ground truth."""

    use = "hidden"

    def build(self):
        return Hidden(EventsDataset("hidden", 4))


@pytest.fixture(scope="module")
def unscored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unscored")
    protocol = PROTOCOL | {
        "data": PROTOCOL["data"] | {"report": "hidden"},
        "splits": {"train": ["train", "test"], "select": "val", "report": "evaluation"},
        "slices": [],
    }
    write_yaml(folder / "toy.yaml", RECIPE | {"soup": "mean"})
    write_yaml(folder / "hidden.yaml", protocol)
    return run(
        folder / "toy.yaml",
        folder / "hidden.yaml",
        registry=Registry.of(*PARTS, HiddenToy),
        settings=settings_in(folder),
    )


def test_every_model_predicts_and_none_is_scored(unscored):
    assert [(row.member, row.kind) for row in unscored.result.rows] == [
        ("seed 0", "seed"),
        ("seed 1", "seed"),
        ("soup", "soup"),
    ]
    for row in unscored.result.rows:
        assert row.metrics == {}
        assert row.slices == {}
        assert (row.split, row.queries) == ("evaluation", 8)
        assert len(read_predictions(unscored.folder / row.predictions)) == 8


def test_both_splits_were_trained_on(unscored):
    assert unscored.result.protocol.options["splits"]["train"] == ["train", "test"]
    uses = {(split.split, use) for split in unscored.result.data for use in split.uses}
    assert {("train", "train"), ("test", "train"), ("evaluation", "report")} <= uses


def test_the_table_says_so(unscored):
    lines = run_table([unscored.result]).text().splitlines()
    assert lines[1] == "The ground truth is not public: predictions only, no metrics."
    header = next(line for line in lines if line.startswith("|"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["recipe", "member", "queries"]


def test_predictions_without_ground_truth_are_not_compared(unscored):
    with pytest.raises(RunError) as error:
        compare([unscored.folder])
    assert str(error.value) == (
        "the run of 'toy' under 'tiny' has predictions only, so it cannot be compared: the ground truth of "
        "split 'evaluation' is not public. Use a protocol that reports another split."
    )
    with pytest.raises(RunError, match="so it cannot be put into the table of a study"):
        study_table(study(), [unscored.result] * 4)
