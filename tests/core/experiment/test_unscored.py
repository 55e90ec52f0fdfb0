"""Runs whose answers are not public: predictions and soups, but no figures anywhere."""

from dataclasses import dataclass, replace

import pytest
import yaml

from amrbench.errors import RunError
from amrbench.evaluation.compare import compare
from amrbench.evaluation.study_table import study_table
from amrbench.evaluation.table import table
from amrbench.experiment.run import Settings, run
from amrbench.files.predictions import read_predictions
from amrbench.registry import Registry
from amrbench.slots.data import DatasetPart
from tests.core.evaluation.test_study_table import study
from tests.core.world import PARTS, PROTOCOL, RECIPE, ToyDataset, write_yaml


@dataclass(frozen=True)
class Hidden:
    """The toy data set without answers, in one split of another name."""

    inner: ToyDataset

    def splits(self):
        return ["evaluation"]

    def size(self, split):
        return self.inner.size("test")

    def recording(self, split, index):
        found = self.inner.recording("test", index)
        return replace(found, queries=tuple(replace(query, windows=()) for query in found.queries))

    def fingerprint(self):
        return f"hidden {self.inner.fingerprint()}"


class HiddenToy(DatasetPart):
    """The toy data set without answers."""

    use = "hidden"

    def build(self):
        return Hidden(ToyDataset("hidden", 4))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("unscored")
    protocol = PROTOCOL | {
        "data": PROTOCOL["data"] | {"report": "hidden"},
        "splits": {"train": ["train", "test"], "select": "val", "report": "evaluation"},
        "slices": [],
    }
    write_yaml(place / "toy.yaml", RECIPE | {"soup": "mean"})
    write_yaml(place / "hidden.yaml", protocol)
    settings = Settings(jobs=1, out=place / "runs", cache=place / "cache")
    return run(
        place / "toy.yaml", place / "hidden.yaml", registry=Registry.of(*PARTS, HiddenToy), settings=settings
    )


def test_every_member_predicts_and_none_is_scored(done):
    assert [(row.member, row.kind) for row in done.results.rows] == [
        ("seed 0", "seed"),
        ("seed 1", "seed"),
        ("soup", "soup"),
    ]
    for row in done.results.rows:
        assert row.metrics == {}
        assert row.slices == {}
        assert (row.split, row.queries) == ("evaluation", 8)
        assert len(read_predictions(done.folder / row.predictions)) == 8


def test_both_splits_were_trained_on(done):
    lock = yaml.safe_load((done.folder / "lock.json").read_text())
    assert lock["protocol"]["splits"]["train"] == ["train", "test"]


def test_the_table_says_so(done):
    lines = table([done.results]).splitlines()
    assert lines[1] == "The answers are not public: predictions only, nothing is scored."
    assert [
        each.strip() for each in next(each for each in lines if each.startswith("|")).strip("|").split("|")
    ] == ["recipe", "member", "queries"]


def test_predictions_without_answers_are_not_compared(done):
    with pytest.raises(RunError) as error:
        compare([done.folder])
    assert str(error.value) == (
        "the run of 'toy' under 'tiny' has predictions only, so it cannot be compared: the answers of split "
        "'evaluation' are not public. Use a protocol that reports another split."
    )
    with pytest.raises(RunError, match="so it cannot be put into a grid"):
        study_table(study(), [done.results] * 4)
