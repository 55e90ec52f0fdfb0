import copy
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.prepare import FeatureRequest, prepare_all
from amrbench.errors import CheckpointError, RecipeError
from amrbench.experiment.plan import PlannedRun, RunRequest, plan_run, request_key
from amrbench.files.weights import read_weights
from amrbench.registry import Entry, Origin, Registry
from amrbench.training import stages
from amrbench.training.log import read_epochs
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.stage_queue import missing
from amrbench.training.stages import StageSpec, making, stage, trained
from tests.core.world import PARTS, PROTOCOL, RECIPE, REGISTRY, Frames, OneHotFeatures, Toy, ToyModel


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """All splits that the tests ask for."""
    cache = tmp_path_factory.mktemp("cache")
    wanted = [
        FeatureRequest(Toy(name=name), split, OneHotFeatures())
        for name in ("pre", "target")
        for split in ("train", "val", "test")
    ]
    found = prepare_all(wanted, cache=cache, jobs=1, tell=lambda progress: None)
    return dict(zip(map(request_key, wanted), found, strict=True))


def trial(prepared, recipe=RECIPE, protocol=PROTOCOL, *, registry=REGISTRY, device="cpu") -> PlannedRun:
    method = Recipe.model_validate(recipe, context=registry)
    rules = Protocol.model_validate(protocol, context=registry)
    return plan_run(RunRequest("toy.yaml", method, rules, "tiny.yaml", registry, device), prepared)


def keys(prepared, recipe=RECIPE, protocol=PROTOCOL, **options) -> list[str]:
    """Return the keys of pretraining and of the fine-tune with seed 0."""
    return [spec.key for spec in trial(prepared, recipe, protocol, **options).chains[0].chain]


def with_training(**options) -> dict:
    return RECIPE | {"training": RECIPE["training"] | options}


def with_stage(place: int, **options) -> dict:
    changed = copy.deepcopy(RECIPE)
    changed["stages"][place] |= options
    return changed


def test_names_and_what_comes_after_training_are_not_in_the_keys(prepared):
    other = with_stage(0, name="warm-up") | {"name": "other", "about": "x", "soup": "mean", "ranking": []}
    rules = PROTOCOL | {"name": "other", "about": "y", "seeds": 3, "slices": []}
    assert keys(prepared, other, rules) == keys(prepared)


@pytest.mark.parametrize(
    ("recipe", "protocol", "options"),
    [
        (RECIPE | {"model": {"use": "toy", "dropout": 0.2}}, PROTOCOL, {}),
        (with_training(batch=4), PROTOCOL, {}),
        (with_training(losses=["frames"]), PROTOCOL, {}),
        (with_training(select=["mAP"]), PROTOCOL, {}),
        (RECIPE | {"limits": {"frames": 10}}, PROTOCOL, {}),
        (with_stage(0, epochs=5), PROTOCOL, {}),
        (with_stage(0, data="target"), PROTOCOL, {}),
        (RECIPE, PROTOCOL | {"budget": {"width": 8}}, {}),
        (RECIPE, PROTOCOL | {"threads": 2}, {}),
        (RECIPE, PROTOCOL, {"device": "cuda"}),
    ],
)
def test_whatever_changes_numbers_changes_every_key(prepared, recipe, protocol, options):
    for before, after in zip(keys(prepared), keys(prepared, recipe, protocol, **options), strict=True):
        assert before != after


def test_a_later_stage_leaves_the_key_of_the_first_alone(prepared):
    before, after = keys(prepared), keys(prepared, with_stage(1, epochs=9, fresh=["size"]))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_seeds_share_what_is_trained_once(prepared):
    first, second = trial(prepared).chains
    assert first.key != second.key
    assert first.parent.key == second.parent.key
    assert len(missing([first, second], first.select.features.path)) == 3


def test_seeds_with_chains_of_their_own_share_nothing(prepared):
    shared, own = trial(prepared), trial(prepared, protocol=PROTOCOL | {"chains": "own"})
    assert own.chains[0].key == shared.chains[0].key, "the first chain is the same"
    stages = [spec for last in own.chains for spec in last.chain]
    assert len({spec.key for spec in stages}) == len(stages) == 4
    assert [spec.name for spec in own.chains[1].chain] == ["toy pretrain, seed 1", "toy finetune, seed 1"]
    assert [spec.seed for spec in own.chains[1].chain] == [1, 1]
    assert len({spec.name for spec in stages}) == len(stages)
    assert own.comparable != shared.comparable


def test_a_number_of_a_device_is_not_in_the_key(prepared):
    assert keys(prepared, device="cuda:1") == keys(prepared, device="cuda")


@pytest.mark.parametrize("part", [ToyModel, Frames])
def test_a_raised_version_of_a_part_changes_the_keys(prepared, monkeypatch, part):
    before = keys(prepared)
    monkeypatch.setattr(part, "version", 2)
    assert not set(before) & set(keys(prepared))


def test_the_version_of_a_part_that_is_not_used_changes_nothing(prepared, monkeypatch):
    recipe = with_training(losses=["spans"])
    before = keys(prepared, recipe)
    monkeypatch.setattr(Frames, "version", 2)
    assert keys(prepared, recipe) == before


@pytest.mark.parametrize(("distribution", "counts"), [("amrbench", False), ("a-stranger", True)])
def test_only_the_distributions_of_strangers_count(prepared, distribution, counts):
    def by(version: str) -> Registry:
        return Registry(Entry(part, Origin("plugin", distribution, version)) for part in PARTS)

    changed = keys(prepared, registry=by("1.0")) != keys(prepared, registry=by("1.1"))
    assert changed is counts


def test_the_engine_is_in_the_key(prepared, monkeypatch):
    before = keys(prepared)
    monkeypatch.setattr(stages, "ENGINE", stages.ENGINE + 1)
    assert not set(before) & set(keys(prepared))


def test_a_stage_holds_weights_log_and_what_determined_it(prepared, tmp_path):
    last = trial(prepared).chains[1]
    folder = stage(last, tmp_path, NULL_REPORTER)
    assert {file.name for file in folder.iterdir()} == {
        *("weights.safetensors", "last.safetensors", "log.jsonl", "done.json")
    }
    done = json.loads((folder / "done.json").read_text())
    assert done["stage"] == "toy finetune, seed 1"
    assert done["content"] == last.content()
    epochs = read_epochs(folder / "log.jsonl")
    assert [each.epoch for each in epochs] == [1, 2, 3, 4]
    assert epochs[0].losses.keys() == {"frames", "spans"}
    assert epochs[0].seconds > 0
    best = max(epochs, key=lambda each: (each.val["R1@0.7"], each.val["R1@0.5"], -each.epoch))
    assert done["epoch"] == best.epoch
    assert done["val"] == best.val


def test_weights_of_losses_travel_and_fresh_places_start_anew(prepared, tmp_path):
    idle = {"epochs": 0}
    recipe = copy.deepcopy(RECIPE)
    recipe["stages"][1] |= idle | {"fresh": ["size", "audio"]}
    last = trial(prepared, recipe).chains[1]
    stage(last, tmp_path, NULL_REPORTER)
    before, after = (read_weights(tmp_path / each.key / "weights.safetensors") for each in last.chain)
    anew = {"model.size", "model.audio.weight", "model.audio.bias"}
    assert "losses.frames.offset" in before
    for name, value in before.items():
        assert torch.equal(value, after[name]) is (name not in anew), name
    assert after["model.size"].item() == pytest.approx(
        sum(end - start for query in last.train[0].queries for start, end in query.windows) / 24 / 12
    ), "statistics come from the new data"


def test_a_place_that_cannot_start_anew_is_named_before_any_training(prepared, tmp_path):
    with pytest.raises(RecipeError) as error:
        stage(trial(prepared, with_stage(1, fresh=["sise"])).chains[0], tmp_path, NULL_REPORTER)
    assert str(error.value) == (
        "toy: 'fresh' of the stage 'finetune' names 'sise', where the model remembers nothing. Did you mean "
        "'size'? Places: audio.bias, audio.weight, size, text.bias, text.weight."
    )
    assert not any(file.read_text() for file in tmp_path.glob("*/log.jsonl"))


def test_the_best_weights_are_those_that_are_loaded(prepared, tmp_path):
    last = trial(prepared).chains[0]
    folder = stage(last, tmp_path, NULL_REPORTER)
    weights = read_weights(folder / "weights.safetensors")
    assert all(
        torch.equal(value, weights[name]) for name, value in trained(last, tmp_path).state_dict().items()
    )


def test_a_finished_stage_is_never_touched(prepared, tmp_path, monkeypatch):
    last = trial(prepared).chains[0]
    folder = stage(last, tmp_path, NULL_REPORTER)
    monkeypatch.setattr(stages, "_train", None)
    assert stage(last, tmp_path, NULL_REPORTER) == folder


def test_leftovers_of_a_broken_stage_do_no_harm(prepared, tmp_path):
    last = trial(prepared).chains[0].parent
    left = making(last, tmp_path)
    left.mkdir(parents=True)
    (left / "log.jsonl").write_text('{"epoch": 1, "lo')
    (left / "weights.safetensors").write_bytes(b"half")
    folder = stage(last, tmp_path, NULL_REPORTER)
    assert [each.epoch for each in read_epochs(folder / "log.jsonl")] == [1, 2, 3]
    assert read_weights(folder / "weights.safetensors")
    assert not left.exists()


def test_damaged_weights_of_the_stage_before_are_named(prepared, tmp_path):
    last = trial(prepared).chains[0]
    folder = stage(last.parent, tmp_path, NULL_REPORTER)
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: not a weights file, or truncated"):
        stage(last, tmp_path, NULL_REPORTER)


def test_stages_of_a_chain_draw_differently(prepared):
    last = trial(prepared, with_stage(0, data="target")).chains[0]
    assert stages._seed(last) != stages._seed(last.parent)
    assert stages._seed(last) == stages._seed(replace(last, parent=replace(last.parent)))
    assert isinstance(last, StageSpec)


def test_tables_and_progress_need_no_torch():
    code = (
        "import sys, amrbench.evaluation.table, amrbench.evaluation.metrics_file;"
        "import amrbench.training.progress_bars, amrbench.training.log;"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
