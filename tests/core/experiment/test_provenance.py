import pytest

from amrbench.experiment.provenance import changes
from amrbench.files.annotations import read_annotations
from amrbench.training.log import read_epochs
from amrbench.training.numerics import processor, settings_of
from amrbench.training.stage_store import read_done


def test_a_run_lists_time_and_memory_of_each_stage(finished):
    store = finished.folder.parents[1] / "cache" / "stages"
    stages = finished.result.stages
    assert {folder.parent.name for folder in store.glob("*/done.json")} == {stage.key for stage in stages}
    for stage in stages:
        assert stage == read_done(store / stage.key).model_copy(
            update={"stage": stage.stage, "log": stage.log}
        )
        epochs = read_epochs(store / stage.key)
        assert (finished.folder / stage.log).read_bytes() == (store / stage.key / "log.jsonl").read_bytes()
        assert len(epochs) == stage.epochs > 0
        assert stage.steps % stage.epochs == 0 < stage.steps
        assert stage.seconds == pytest.approx(sum(epoch.seconds for epoch in epochs), abs=1e-3)
        assert stage.memory_mib == max(epoch.memory_mib for epoch in epochs) > 50
        for readout, selected in stage.selected.items():
            assert selected.val == epochs[selected.epoch - 1].val[readout]


def test_a_run_lists_what_was_replaced_and_where_the_parts_are_from(finished):
    result = finished.result
    assert result.recipe.replaced == ("features: absent -> one-hot", "model.width: 32 -> 16")
    assert result.recipe.options["model"]["width"] == 16
    assert {part.use for part in result.parts} >= {"toy", "one-hot", "frames", "descent", "cut"}
    assert (result.environment.device, result.environment.threads) == ("cpu", 1)
    assert set(result.models.values()) <= {stage.key for stage in result.stages}


def test_a_run_lists_what_decides_the_last_bits(finished):
    environment = finished.result.environment
    assert environment.versions.keys() >= {"amrbench", "torch", "numpy", "scipy", "python", "engine"}
    assert environment.cpu == processor()
    assert environment.gpu == ""
    assert environment.settings == settings_of("cpu")
    assert environment.settings["deterministic algorithms"] == "all"
    assert [stage.hardware for stage in finished.result.stages] == [processor()] * 3


def test_a_run_lists_its_data(finished):
    splits = {(split.dataset, split.split): split for split in finished.result.data}
    assert len(splits) == len(finished.result.data) == 5
    report = next(split for split in finished.result.data if split.uses == ("report",))
    truth = read_annotations(finished.folder / finished.result.truth)
    assert report.queries == len(truth)
    assert report.recordings == len({query.vid for query in truth})
    assert report.version >= 1
    assert "one-hot" in report.encoder


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
