import json
import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from amrbench.data.feature_dataset import DatasetCache, visit_rngs
from amrbench.data.out_of_memory import MemoryShortError
from amrbench.errors import RecipeError, RunError
from amrbench.evaluation.result import Selected
from amrbench.files.checksums import changed_files
from amrbench.files.weights import load_weights, read_weights
from amrbench.notes import collected_notes
from amrbench.training import stages
from amrbench.training.log import read_epochs
from amrbench.training.numerics import fixed_numerics
from amrbench.training.predict import validate
from amrbench.training.reading import fit_readouts
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import failed_folder, read_done, unfinished_folder, weights_file
from amrbench.training.stages import untrained
from amrbench.training.step_check import StepCheck
from tests.core.training.test_stage_spec import keys, with_stage, with_training
from tests.small_world.parts import RECIPE
from tests.small_world.runs import load_trained, plan, train


def test_a_stage_has_weights_a_log_and_all_that_determined_it(toy_sources, tmp_path):
    last = plan(toy_sources).chains[1]
    folder = train(last, tmp_path)
    assert {file.name for file in folder.iterdir()} == {
        *("weights.span.safetensors", "last.safetensors", "log.jsonl", "times.jsonl", "done.json"),
        "SHA256SUMS",
    }
    assert changed_files(folder) == []
    done = json.loads((folder / "done.json").read_text())
    assert done["content"] == last.content()
    epochs = read_epochs(folder)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[0].losses.keys() == {"frames", "spans"}
    assert epochs[0].seconds > 0
    best = best_epoch(epochs, "span")
    assert done["selected"] == {"span": {"epoch": best.epoch, "val": best.val["span"]}}


def best_epoch(epochs, readout):
    def score(epoch):
        val = epoch.val[readout]
        return val["R1@0.7"], val["R1@0.5"], -epoch.epoch

    return max(epochs, key=score)


def test_a_stage_keeps_the_weights_that_are_best_for_each_readout(toy_sources, tmp_path):
    last = plan(toy_sources, with_training(readouts=["second", "span"])).chains[0]
    folder, names = train(last, tmp_path), ["second", "span"]
    assert {file.name for file in folder.glob("*.safetensors")} == {
        *("weights.second.safetensors", "weights.span.safetensors", "last.safetensors")
    }
    done, epochs = read_done(folder), read_epochs(folder)
    assert [list(epoch.val) for epoch in epochs] == [names] * 4
    assert len({done.selected[name].epoch for name in names}) == 2, "their best epochs differ"
    select = DatasetCache().load((last.select,), last.recipe.limits)
    widths = DatasetCache().load(last.train, last.recipe.limits).window_widths()
    for name in names:
        best = best_epoch(epochs, name)
        assert done.selected[name] == Selected(epoch=best.epoch, val=best.val[name])
        criterion = untrained(last, DatasetCache())
        load_weights(criterion, read_weights(folder / weights_file(name)), name="x")
        with fixed_numerics(1):
            readouts = fit_readouts(last.recipe.training.readouts, widths)
            options = {"device": torch.device("cpu"), "select": last.recipe.training.select}
            assert validate(criterion.model, select, readouts, **options)[name] == best.val[name]


def test_the_mean_over_epochs_chooses_the_weights_and_the_record_has_the_metrics_of_the_epoch(
    toy_sources, tmp_path
):
    last = plan(toy_sources, with_training(select_over=3) | {"stages": LONG}).chains[0]
    folder = train(last, tmp_path)
    epochs, done = read_epochs(folder), read_done(folder)
    assert len(epochs) == 9

    def mean(index):
        around = [epoch.val["span"] for epoch in epochs[max(0, index - 1) : index + 2]]
        return tuple(math.fsum(val[name] for val in around) / len(around) for name in ("R1@0.7", "R1@0.5"))

    best = epochs[max(range(9), key=mean)]
    assert best.epoch != best_epoch(epochs, "span").epoch, "another one than without means"
    assert done.selected["span"] == Selected(epoch=best.epoch, val=best.val["span"])
    select = DatasetCache().load((last.select,), last.recipe.limits)
    with fixed_numerics(1):
        model = load_trained(last, tmp_path).model
        readouts, options = fit_readouts(last.recipe.training.readouts, ()), {"device": torch.device("cpu")}
        found = validate(model, select, readouts, select=last.recipe.training.select, **options)
    assert found == {"span": best.val["span"]}


LONG = [RECIPE["stages"][0], RECIPE["stages"][1] | {"epochs": 9}]


@pytest.mark.parametrize("first", ["second", "span"])
def test_the_next_stage_starts_from_the_weights_that_are_best_for_the_first_readout(
    toy_sources, tmp_path, first
):
    names = [first, *({"second", "span"} - {first})]
    last = plan(toy_sources, with_training(readouts=names) | {"stages": SHORT}).chains[0]
    train(last, tmp_path)
    before = {name: read_weights(tmp_path / last.parent.key / weights_file(name)) for name in names}
    after = read_weights(tmp_path / last.key / "last.safetensors")
    same = [all(torch.equal(weights[key], after[key]) for key in after) for weights in before.values()]
    assert same == [True, False], "no epoch has changed them"


SHORT = [RECIPE["stages"][0], RECIPE["stages"][1] | {"epochs": 0}]


def test_readouts_that_are_not_validated_in_training_are_not_in_the_keys(toy_sources):
    assert keys(toy_sources, RECIPE | {"readout": "second", "ranking": ["mean-width"]}) == keys(toy_sources)
    for training in (with_training(readouts=["span", "second"]), with_training(readouts=["second"])):
        assert not set(keys(toy_sources, training)) & set(keys(toy_sources))


def test_weights_of_losses_are_passed_on_and_fresh_ones_are_not(toy_sources, tmp_path):
    last = plan(toy_sources, with_stage(1, epochs=0, fresh=["size", "audio"])).chains[1]
    train(last, tmp_path)
    before, after = (read_weights(tmp_path / spec.key / "weights.span.safetensors") for spec in last.chain)
    fresh = {"model.size", "model.audio.weight", "model.audio.bias"}
    assert "losses.frames.offset" in before
    for name, value in before.items():
        assert torch.equal(value, after[name]) is (name not in fresh), name
    assert after["model.size"].item() == pytest.approx(
        sum(end - start for query in last.train[0].queries for start, end in query.windows) / 24 / 12
    ), "statistics come from the new data"


def test_fresh_weights_that_the_model_does_not_have_are_named_before_any_training(toy_sources, tmp_path):
    with pytest.raises(RecipeError) as error:
        train(plan(toy_sources, with_stage(1, fresh=["sise"])).chains[0], tmp_path)
    assert str(error.value) == (
        "toy: 'fresh' of the stage 'finetune' names 'sise', where the model has no weights. Did you mean "
        "'size'? Known: audio.bias, audio.weight, size, text.bias, text.weight."
    )
    assert not any(file.read_text() for file in tmp_path.glob("*/log.jsonl"))


def test_a_stage_stores_the_weights_of_its_best_epoch(toy_sources, tmp_path):
    last = plan(toy_sources).chains[0]
    done = read_done(train(last, tmp_path))
    assert 0 < done.selected["span"].epoch < done.epochs, "the last epoch is another one"
    select = DatasetCache().load((last.select,), last.recipe.limits)
    with fixed_numerics(1):
        model = load_trained(last, tmp_path).model
        readouts = fit_readouts(last.recipe.training.readouts, ())
        found = validate(
            model, select, readouts, device=torch.device("cpu"), select=last.recipe.training.select
        )
    assert found == {"span": done.selected["span"].val}


def test_a_stage_is_trained_at_its_own_rate(toy_sources, tmp_path):
    own = plan(toy_sources, with_stage(1, lr=1e-9)).chains[0]
    train(own, tmp_path)
    after = read_weights(tmp_path / own.key / "last.safetensors")
    start = read_weights(tmp_path / own.parent.key / "weights.span.safetensors")
    assert all(torch.allclose(start[name], after[name], atol=1e-6) for name in after), "it hardly moves"
    assert not all(torch.equal(start[name], after[name]) for name in after)
    usual = plan(toy_sources).chains[0]
    assert usual.parent.key == own.parent.key
    moved = read_weights(train(usual, tmp_path) / "last.safetensors")
    assert not all(torch.allclose(start[name], moved[name], atol=1e-3) for name in moved)


def test_a_finished_stage_is_never_touched(toy_sources, tmp_path, monkeypatch):
    last = plan(toy_sources).chains[0]
    folder = train(last, tmp_path)
    monkeypatch.setattr(stages, "_train", None)
    assert train(last, tmp_path) == folder


def test_leftovers_of_an_interrupted_stage_are_ignored(toy_sources, tmp_path):
    last = plan(toy_sources).chains[0].parent
    unfinished = unfinished_folder(last, tmp_path)
    unfinished.mkdir(parents=True)
    (unfinished / "log.jsonl").write_text('{"epoch": 1, "lo')
    (unfinished / "weights.span.safetensors").write_bytes(b"half")
    folder = train(last, tmp_path)
    assert [epoch.epoch for epoch in read_epochs(folder)] == [1, 2, 3]
    assert read_weights(folder / "weights.span.safetensors")
    assert not unfinished.exists()


def test_damaged_weights_of_the_stage_before_are_trained_again(toy_sources, tmp_path):
    last = plan(toy_sources).chains[0]
    file = train(last.parent, tmp_path) / "weights.span.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with collected_notes() as notes:
        train(last, tmp_path)
    assert file.read_bytes() == content
    assert notes[0].startswith("toy pretrain is trained again: weights.span.safetensors has changed")


def test_stages_of_a_chain_draw_differently(toy_sources):
    last = plan(toy_sources, with_stage(0, data="target")).chains[0]
    assert last.sampling_seed != last.parent.sampling_seed
    assert last.sampling_seed == replace(last, parent=replace(last.parent)).sampling_seed
    assert isinstance(last, StageSpec)


# ---------------------------------------------------------------- stages that fail


def fails_once(at, kind="nan") -> dict:
    """Return a recipe whose pretraining fails in its second step, only once."""
    at.touch()
    return with_training(
        losses=["frames", "spans", {"use": "failing", "kind": kind, "at": str(at), "after": 1}]
    )


def test_a_step_that_failed_is_kept_and_never_used(toy_sources, tmp_path):
    at, store = tmp_path / "once", tmp_path / "stages"
    spec = plan(toy_sources, fails_once(at)).chains[0].parent
    with pytest.raises(RunError) as error:
        train(spec, store)
    folder = failed_folder(spec, store)
    description = json.loads((folder / "failure.json").read_text())
    first, second, third, *_ = description["qids"]
    assert str(error.value) == (
        "toy pretrain, epoch 1, step 2 of 3: the loss term 'failing' is not finite (nan). The stage is "
        f"stopped, and nothing of it is used. Its queries: {first!r}, {second!r}, {third!r} and 5 more. The "
        f"weights from before the step and its batch are in {folder}. Try a lower learning rate "
        "(training.optimizer), a longer warm-up or a smaller training.clip, and check the features."
    )
    assert {file.name for file in folder.iterdir()} == {
        *("weights.safetensors", "batch.safetensors", "failure.json", "log.jsonl", "times.jsonl")
    }
    assert (description["stage"], description["key"]) == ("toy pretrain", spec.key)
    queries = {query.qid: query for query in spec.train[0].queries}
    audio = read_weights(folder / "batch.safetensors")["batch.audio"]
    for row, qid in zip(audio, description["qids"], strict=True):
        assert np.array_equal(row.argmax(-1), spec.train[0].audio(queries[qid].vid).argmax(-1))
    assert not unfinished_folder(spec, store).exists()

    trained = train(spec, store)
    assert read_done(trained).epochs == 3
    assert not folder.exists(), "it is out of date"


def test_a_second_failure_replaces_what_was_kept_of_the_first(toy_sources, tmp_path):
    at, store = tmp_path / "once", tmp_path / "stages"
    spec = plan(toy_sources, fails_once(at)).chains[0].parent
    for _ in range(2):
        at.touch()
        with pytest.raises(RunError, match="are in "):
            train(spec, store)
    assert len(list(store.glob("*.failed/failure.json"))) == 1


def test_a_failure_is_explained_also_if_it_cannot_be_kept(toy_sources, tmp_path, monkeypatch):
    def full(*_):
        raise RunError("/x/weights.safetensors: cannot be written (No space left on device).")

    monkeypatch.setattr(stages, "keep_failure", full)
    spec = plan(toy_sources, fails_once(tmp_path / "once")).chains[0].parent
    with pytest.raises(
        RunError,
        match=r"'failing' is not finite .* could not be kept: /x/.* device\)\. Try a lower learning rate",
    ):
        train(spec, tmp_path / "stages")


def test_a_gradient_that_is_not_finite_names_its_term(toy_sources, tmp_path):
    recipe = with_training(losses=["frames", "spans", {"use": "failing", "kind": "gradient", "after": 1}])
    spec = plan(toy_sources, recipe).chains[0].parent
    with pytest.raises(RunError) as error:
        train(spec, tmp_path)
    assert str(error.value).startswith(
        "toy pretrain, epoch 1, step 2 of 3: the gradient of the loss term 'failing' is not finite for the "
        "weights 'losses.failing.weight', though the loss itself is. The stage is stopped"
    )


def test_checks_change_no_bit(toy_sources, tmp_path, monkeypatch):
    spec = plan(toy_sources).chains[0].parent
    checked = read_weights(train(spec, tmp_path / "checked") / "last.safetensors")
    monkeypatch.setattr(StepCheck, "_read", lambda *_: None)
    plain = read_weights(train(spec, tmp_path / "plain") / "last.safetensors")
    assert all(torch.equal(checked[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", ["untrained", "stage_inputs", "StageKeeper", "write_record"])
def test_memory_that_is_short_anywhere_in_a_stage_is_one_message(toy_sources, tmp_path, monkeypatch, name):
    def out_of_memory(*_, **__):
        torch.empty(2**40)

    spec = plan(toy_sources).chains[0].parent
    monkeypatch.setattr(stages, name, out_of_memory)
    with pytest.raises(MemoryShortError) as error:
        train(spec, tmp_path)
    at = ", reading features" if name == "untrained" else ""
    assert str(error.value).startswith(
        f"toy pretrain{at}: out of memory: 4.00 TiB could not be had. Each process has its own memory: a "
        "smaller --jobs helps"
    )


def test_on_another_device_batches_are_made_one_ahead(toy_sources, monkeypatch):
    spec = plan(toy_sources).stages[0]
    splits = stages.StageSplits.of(spec, DatasetCache())
    threads = []
    monkeypatch.setattr(
        stages,
        "visit_rngs",
        lambda *of: threads.append(threading.current_thread() is threading.main_thread()) or visit_rngs(*of),
    )
    here, there = (
        [batch for batch, _ in stages.batches(replace(spec, device=device), splits.train, (), 0)]
        for device in ("cpu", "meta")
    )
    assert threads == [True, False]
    assert {batch.audio.device.type for batch in there} == {"meta"}
    assert [batch.audio.shape for batch in there] == [batch.audio.shape for batch in here]
