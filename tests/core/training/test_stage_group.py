"""Stages that differ in their seed are trained at once on a GPU; here on the CPU, which is told to do so."""

import copy
import json
import shutil
from dataclasses import replace

import pytest
import torch

from amrbench.data.feature_dataset import DatasetCache
from amrbench.errors import RunError
from amrbench.files.weights import read_weights
from amrbench.notes import collected_notes
from amrbench.training import saved_states, stage_group, stages
from amrbench.training.log import read_epochs
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.stage_group import (
    group_claim_file,
    grouped_seeds,
    in_group,
    is_group_finished,
    run_group,
)
from amrbench.training.stage_store import failed_folder, read_done
from tests.core.training.test_resume import files_of, stop_after
from tests.small_world.executors import Here, part_of
from tests.small_world.parts import PROTOCOL, RECIPE, Descent
from tests.small_world.runs import Recorder, changed, plan, run_in, stages_in, train, write_yaml

AT_ONCE = changed(RECIPE, model={"use": "toy", "width": 32, "dropout": 0.0}, training__losses=["spans"])
"""The loss `frames` picks rows by a mask, which `torch.vmap` does not allow."""
UNDETERMINED = "model.audio.bias"
"""A softmax over seconds does not depend on it, so its gradient is rounding alone."""
for stage in AT_ONCE["stages"]:
    stage["input_dropout"] = 0.0
SEEDS = PROTOCOL | {"seeds": 3}


@pytest.fixture
def on_cpu(monkeypatch):
    """Train seeds at once on the CPU too."""
    monkeypatch.setattr(stage_group, "DEVICES", {"cpu"})


def chains(toy_sources, recipe=AT_ONCE, **options):
    return plan(toy_sources, recipe, SEEDS, **options).chains


# ---------------------------------------------------------------- which stages


def test_on_a_cpu_every_stage_is_trained_alone_and_on_a_gpu_the_seeds_at_once(toy_sources):
    assert [spec.together for spec in chains(toy_sources)] == [()] * 3
    on_gpu = chains(toy_sources, device="cuda:1")
    assert [spec.together for spec in on_gpu] == [(0, 1, 2)] * 3
    assert [spec.seed for spec in on_gpu] == [0, 1, 2]
    assert on_gpu[1].group[2].key == on_gpu[2].key
    assert on_gpu[0].parent.together == (), "it is trained once"


def test_chains_of_their_own_and_single_seeds_are_trained_alone(toy_sources):
    own = plan(toy_sources, AT_ONCE, SEEDS | {"chains": "own"}, device="cuda").chains
    single = plan(toy_sources, AT_ONCE, SEEDS | {"seeds": 1}, device="cuda").chains
    assert {spec.together for spec in (*own, *single)} == {()}


def test_an_optimizer_that_cannot_update_several_models_trains_them_alone(toy_sources, monkeypatch):
    monkeypatch.setattr(Descent, "updates_arrays", False)
    assert [spec.together for spec in chains(toy_sources, device="cuda")] == [()] * 3


def test_groups_have_about_equal_sizes_and_a_limited_number_of_rows(toy_sources, monkeypatch):
    spec = chains(toy_sources, device="cuda")[0]
    rows = 8 * 12  # The batch, and the seconds of a recording.
    monkeypatch.setattr(stage_group, "MOST_ROWS", 3 * rows)
    assert grouped_seeds(spec, 3) == [(0, 1, 2)]
    assert grouped_seeds(spec, 7) == [(0, 1), (2, 3), (4, 5, 6)]
    monkeypatch.setattr(stage_group, "MOST_ROWS", rows - 1)
    assert grouped_seeds(spec, 2) == [(0,), (1,)]
    short = changed(AT_ONCE, limits={"frames": 6})
    monkeypatch.setattr(stage_group, "MOST_ROWS", 2 * 8 * 6)
    assert grouped_seeds(chains(toy_sources, short, device="cuda")[0], 4) == [(0, 1), (2, 3)]


def test_the_seeds_of_a_group_are_in_the_key_and_one_alone_has_the_key_it_had(toy_sources):
    alone = chains(toy_sources)[1]
    assert "together" not in alone.content()
    pair, three = in_group(alone, 1, (0, 1)), in_group(alone, 1, (0, 1, 2))
    assert pair.content() == alone.content() | {"together": [0, 1]}
    assert len({alone.key, pair.key, three.key}) == 3
    assert in_group(alone, 1, (1,)).key == alone.key


# ---------------------------------------------------------------- training


def trained(toy_sources, store, **options):
    """Train the seeds of a plan at once; return their folders."""
    specs = chains(toy_sources, **options)
    run_group(specs[1], store, NULL_REPORTER, DatasetCache())
    return specs, [store / spec.key for spec in specs]


@pytest.mark.parametrize("over", [1, 3])
def test_stages_are_those_of_each_seed_alone(toy_sources, tmp_path, on_cpu, over):
    specs, folders = trained(toy_sources, tmp_path, recipe=changed(AT_ONCE, training__select_over=over))
    for spec, folder in zip(specs, folders, strict=True):
        alone = train(replace(spec, together=()), tmp_path)
        assert alone != folder
        assert {file.name for file in folder.iterdir()} == {file.name for file in alone.iterdir()}
        done, expected = read_done(folder), read_done(alone)
        assert done.selected == expected.selected
        assert (done.stage, done.epochs, done.steps) == (expected.stage, expected.epochs, expected.steps)
        assert done.content == spec.content()
        for name in ("weights.span.safetensors", "last.safetensors"):
            weights, others = read_weights(folder / name), read_weights(alone / name)
            assert weights.keys() == others.keys()
            for key in weights.keys() - {UNDETERMINED}:
                torch.testing.assert_close(weights[key], others[key], rtol=1e-4, atol=1e-5)
        pairs = zip(*(read_epochs(own / "log.jsonl") for own in (folder, alone)), strict=True)
        for epoch, other in pairs:
            assert epoch.losses == pytest.approx(other.losses, rel=1e-4)
            assert epoch.val == other.val
    assert (
        len({tuple(read_weights(folder / "last.safetensors")["model.size"].ravel()) for folder in folders})
        == 3
    )


def test_a_group_is_trained_at_the_rate_of_its_stage(toy_sources, tmp_path, on_cpu):
    recipe = copy.deepcopy(AT_ONCE)
    recipe["stages"][1]["lr"] = 1e-9
    specs, folders = trained(toy_sources, tmp_path, recipe=recipe)
    start = read_weights(tmp_path / specs[0].parent.key / "weights.span.safetensors")
    for folder in folders:
        weights = read_weights(folder / "last.safetensors")
        assert all(torch.allclose(start[name], weights[name], atol=1e-6) for name in weights)


def test_a_group_is_trained_once_to_the_same_bits(toy_sources, tmp_path, on_cpu, monkeypatch):
    specs, folders = trained(toy_sources, tmp_path / "one")
    times = [(folder / "done.json").stat().st_mtime_ns for folder in folders]
    trained(toy_sources, tmp_path / "one")
    assert [(folder / "done.json").stat().st_mtime_ns for folder in folders] == times
    for spec in specs:
        train(spec.parent, tmp_path / "two")
    _, again = trained(toy_sources, tmp_path / "two")
    for folder, other in zip(folders, again, strict=True):
        first, second = (read_weights(own / "last.safetensors") for own in (folder, other))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_stage_that_an_interrupted_run_has_written_is_kept(toy_sources, tmp_path, on_cpu):
    _, folders = trained(toy_sources, tmp_path)
    before = read_weights(folders[2] / "last.safetensors")
    time = (folders[0] / "done.json").stat().st_mtime_ns
    shutil.rmtree(folders[2])
    trained(toy_sources, tmp_path)
    after = read_weights(folders[2] / "last.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (folders[0] / "done.json").stat().st_mtime_ns == time
    assert not list(tmp_path.glob("*.making-*"))


def test_seconds_of_a_group_are_shared(toy_sources, tmp_path, on_cpu):
    _, folders = trained(toy_sources, tmp_path)
    seconds = {tuple(epoch.seconds for epoch in read_epochs(folder)) for folder in folders}
    assert len(seconds) == 1
    assert read_done(folders[0]).seconds == pytest.approx(sum(*seconds), abs=1e-3)


@pytest.mark.parametrize("over", [1, 3])
@pytest.mark.parametrize("after", [9, 11, 15])  # The stage before asks eight times.
def test_a_group_that_was_stopped_goes_on_to_the_same_bytes(
    toy_sources, tmp_path, on_cpu, monkeypatch, after, over
):
    recipe = changed(AT_ONCE, training__select_over=over)
    _, expected = trained(toy_sources, tmp_path / "undisturbed", recipe=recipe)
    stopped = stop_after(after, lambda: trained(toy_sources, tmp_path, recipe=recipe), monkeypatch)
    assert stopped.at.startswith("toy finetune, seeds 0 to 2, epoch ")
    assert len(list(tmp_path.glob("*.making-*/state-*"))) == 1
    _, folders = trained(toy_sources, tmp_path, recipe=recipe)
    assert [files_of(folder) for folder in folders] == [files_of(folder) for folder in expected]
    assert not list(tmp_path.glob("*/state-*"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_trains_its_seeds_at_once(toy_folder, on_cpu, jobs):
    executor = part_of(Here()) if jobs == 2 else None
    write_yaml(toy_folder / "toy.yaml", AT_ONCE)
    recorder = Recorder()
    result = run_in(toy_folder, executor=executor, reporter=recorder).result
    stages = [done["content"] for done in stages_in(toy_folder).values()]
    assert sorted(stage.get("together", []) for stage in stages) == [[], [0, 1], [0, 1]]
    assert {name for name, _ in recorder.epochs} >= {"toy finetune, seed 0", "toy finetune, seed 1"}
    assert recorder.ended >= {"toy finetune, seed 0", "toy finetune, seed 1"}
    assert result.rows
    if jobs == 1:
        assert "toy finetune, seeds 0 to 1" in {name for name, _ in recorder.steps}


def test_a_group_is_finished_when_all_its_seeds_are(toy_sources, tmp_path, on_cpu):
    specs, folders = trained(toy_sources, tmp_path)
    assert all(is_group_finished(spec, tmp_path) for spec in specs)
    shutil.rmtree(folders[2])
    assert not any(is_group_finished(spec, tmp_path) for spec in specs)


def test_a_group_that_another_process_took_over_is_left_to_it(toy_sources, tmp_path, on_cpu, monkeypatch):
    specs, others = trained(toy_sources, tmp_path / "other")
    write = stages.StageKeeper.write

    def overtaken(keeper, **options):
        monkeypatch.setattr(stages.StageKeeper, "write", write)
        group_claim_file(specs[0], tmp_path).write_text("{}")
        for other in others:
            shutil.copytree(other, tmp_path / other.name)
        group_claim_file(specs[0], tmp_path).unlink()
        shutil.rmtree(keeper.folder)
        write(keeper, **options)

    train(specs[0].parent, tmp_path)
    monkeypatch.setattr(stages.StageKeeper, "write", overtaken)
    recorder = Recorder()
    run_group(specs[0], tmp_path, recorder, DatasetCache())
    assert [files_of(tmp_path / other.name) for other in others] == [files_of(other) for other in others]
    assert recorder.notes == [
        "toy finetune, seeds 0 to 2: another process took them over while this one was stopped"
    ]


# ---------------------------------------------------------------- what cannot be trained at once


def test_what_cannot_be_trained_at_once_is_trained_one_after_another(toy_sources, tmp_path, on_cpu, recwarn):
    recipe = changed(AT_ONCE, training__losses=["frames", "spans"])
    specs, folders = trained(toy_sources, tmp_path, recipe=recipe)
    (text,) = (str(warning.message) for warning in recwarn if "one after another" in str(warning.message))
    assert text.startswith(
        "toy finetune, seeds 0 to 2: they are trained one after another; at once is not possible: "
        "RuntimeError: vmap: "
    )
    for spec, folder in zip(specs, folders, strict=True):
        weights = read_weights(folder / "last.safetensors")
        alone = read_weights(train(replace(spec, together=()), tmp_path) / "last.safetensors")
        assert all(torch.equal(weights[name], alone[name]) for name in alone)


def test_one_seed_that_fails_is_reported_though_another_is_finished(toy_folder, on_cpu, monkeypatch):
    write_yaml(toy_folder / "toy.yaml", changed(AT_ONCE, training__losses=["frames", "spans"]))
    run_stage = stage_group.run_stage

    def fail(spec, *others):
        if spec.seed == 1:
            raise RunError("toy finetune, seed 1: no luck")
        return run_stage(spec, *others)

    monkeypatch.setattr(stage_group, "run_stage", fail)
    with collected_notes(), pytest.raises(RunError, match="^toy finetune, seed 1: no luck$"):
        run_in(toy_folder, executor=part_of(Here()))


def out_of_memory(*_, **__):
    torch.empty(2**40)


class NoMemoryIn:
    """Lets one call of a function, counted from 1, ask for more memory than there is."""

    def __init__(self, function, call):
        self.function, self.call, self.calls = function, call, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.call:
            out_of_memory()
        return self.function(*arguments, **options)


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (stage_group, "CriterionArray", 1),
        (stage_group, "fit_array", 1),
        (stage_group, "to_device", 9),
        (stages, "validate", 11),
        (stages, "write_weights", 4),
    ],
    ids=["stacking", "before-a-step", "step", "validation-of-the-second-seed-in-epoch-2", "end"],
)
def test_so_is_what_does_not_fit_into_memory(
    toy_sources, tmp_path, on_cpu, recwarn, monkeypatch, module, name, call
):
    specs = chains(toy_sources)
    train(specs[0].parent, tmp_path)
    alone = [files_of(train(replace(spec, together=()), tmp_path)) for spec in specs]
    monkeypatch.setattr(saved_states.SavedStates, "due", lambda *_: True)
    monkeypatch.setattr(module, name, NoMemoryIn(getattr(module, name), call))
    _, folders = trained(toy_sources, tmp_path)
    (text,) = (str(warning.message) for warning in recwarn if "one after another" in str(warning.message))
    assert text == (
        "toy finetune, seeds 0 to 2: they are trained one after another; at once is not possible: out of "
        "memory: 4.00 TiB could not be had"
    )
    for folder, expected in zip(folders, alone, strict=True):
        assert files_of(folder)["log.jsonl"] == expected["log.jsonl"]
    assert not list(tmp_path.glob("*.making-*"))


def test_one_that_fails_stops_the_others_and_is_named(toy_sources, tmp_path, on_cpu):
    recipe = copy.deepcopy(AT_ONCE)
    failing = {"use": "failing", "kind": "nan", "after": 10}
    recipe["training"]["losses"] = ["spans", failing]
    specs = chains(toy_sources, recipe)
    with pytest.raises(RunError) as error:
        run_group(specs[0], tmp_path, NULL_REPORTER, DatasetCache())
    folder = failed_folder(specs[0], tmp_path)
    text = str(error.value)
    assert text.startswith("toy finetune, seed 0, epoch 4, step ")
    assert f"The weights from before the step and its batch are in {folder}." in text
    assert text.endswith(
        "The others of toy finetune, seeds 0 to 2 were trained with it, and are stopped too."
    )
    assert json.loads((folder / "failure.json").read_text())["seed"] == 0
    assert not any((tmp_path / spec.key).exists() for spec in specs)
