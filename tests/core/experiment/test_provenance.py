import json

import pytest

from amrbench.experiment.provenance import changes
from amrbench.training.log import read_epochs


def test_a_run_lists_time_and_memory_of_each_stage(finished):
    costs = json.loads((finished.folder / "stages.json").read_text())
    lock = json.loads((finished.folder / "lock.json").read_text())
    assert {cost["stage"]: cost["key"] for cost in costs} == lock["stages"]
    store = finished.folder.parents[1] / "cache" / "stages"
    assert {folder.parent.name for folder in store.glob("*/done.json")} == set(lock["stages"].values())
    for cost in costs:
        epochs = read_epochs(store / cost["key"] / "log.jsonl")
        assert len(epochs) == cost["epochs"] > 0
        assert cost["seconds"] == pytest.approx(sum(epoch.seconds for epoch in epochs), abs=1e-3)
        assert cost["memory_mib"] == max(epoch.memory_mib for epoch in epochs) > 50


def test_the_lock_lists_what_was_replaced_and_where_the_parts_are_from(finished):
    lock = json.loads((finished.folder / "lock.json").read_text())
    assert lock["replaced"] == ["features: absent -> one-hot", "model.width: 32 -> 16"]
    assert lock["recipe"]["model"]["width"] == 16
    assert {part["use"] for part in lock["parts"]} >= {"toy", "one-hot", "frames", "descent", "cut"}
    assert lock["versions"].keys() == {"amrbench", "torch", "numpy", "python", "engine"}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"use": "x", "b": 1}}, {"a": {"use": "x", "b": 2}}, ["a.b: 1 -> 2"]),
        ({"a": {"use": "x", "b": 1}}, {"a": {"use": "y", "c": 2}}, ["a: x -> y"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a: [1, 2] -> [1]"]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 3}, ["a: 1 -> 2", "b: 2 -> 3"]),
    ],
)
def test_changes_are_named_by_their_path(before, after, text):
    assert changes(before, after) == text
