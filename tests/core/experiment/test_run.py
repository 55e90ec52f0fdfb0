import copy
import multiprocessing
import os
import signal

import pytest
import torch

from amrbench.data.feature_dataset import DatasetCache
from amrbench.errors import DataError, RecipeError, RunError
from amrbench.evaluation.result import read_result
from amrbench.evaluation.table import run_table
from amrbench.experiment import run as experiment
from amrbench.experiment.finished_run import find_run, open_run
from amrbench.experiment.run import compare_with_baseline, run_all
from amrbench.files.claim import Claim
from amrbench.notes import Note
from amrbench.registry import Registry
from amrbench.training.memory_room import AnyRoom, MemoryRoom
from amrbench.training.stage_queue import train_here
from tests.small_world.parts import PARTS, PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import (
    Recorder,
    changed,
    killed_once,
    run_in,
    same_bits,
    settings_in,
    stages_in,
    write_yaml,
)


def test_a_run_leaves_all_its_files(finished):
    names = {str(file.relative_to(finished.folder)) for file in finished.folder.rglob("*") if file.is_file()}
    models = ["seed-0", "seed-1", "seed-0-queries-shuffled", "always-0-10-s", "whole-recording"]
    assert names == {
        *("recipe.yaml", "protocol.yaml", "result.json", "SHA256SUMS"),
        "annotations.test.jsonl",
        *(f"predictions/{model}.test.jsonl" for model in models),
        *(
            f"logs/{stage}.jsonl"
            for stage in ("1-toy-pretrain", "2-toy-finetune-seed-0", "2-toy-finetune-seed-1")
        ),
    }
    assert finished.folder.name == f"toy@tiny-{finished.result.hash[:8]}"
    given = finished.folder.parents[1]
    assert (finished.folder / "recipe.yaml").read_bytes() == (given / "toy.yaml").read_bytes()
    assert (finished.folder / "protocol.yaml").read_bytes() == (given / "tiny.yaml").read_bytes()


def test_what_the_protocol_replaces_is_reported(toy_folder):
    recorder = Recorder()
    run_in(toy_folder, reporter=recorder)
    note = "toy: the protocol tiny replaces features: absent -> one-hot; model.width: 32 -> 16"
    assert note in recorder.notes
    assert ("toy finetune, seed 1", 4) in recorder.epochs


def test_files_that_a_killed_process_was_writing_do_not_stay_in_a_run(toy_folder):
    finished = run_in(toy_folder).folder
    before = sorted(finished.rglob("*"))
    (finished / "SHA256SUMS").unlink()  # Written last.
    for file in ("result.json", "predictions/seed-0.test.jsonl"):
        path = finished / file
        path.with_name(f".{path.name}.43661b0497-31099.part").write_bytes(b"{")
    assert run_in(toy_folder).folder == finished
    assert sorted(finished.rglob("*")) == before


def test_a_finished_run_trains_nothing_and_writes_nothing(toy_folder, monkeypatch):
    before = run_in(toy_folder)
    times = {file: file.stat().st_mtime_ns for file in toy_folder.rglob("*") if file.name != "running"}
    monkeypatch.setattr("amrbench.training.stages.fit", None)
    monkeypatch.setattr("amrbench.experiment.predictions.read", None)
    assert run_in(toy_folder) == before
    left = {file: file.stat().st_mtime_ns for file in toy_folder.rglob("*") if file.name != "running"}
    assert left == times, "but for the claim, which is gone"


def test_a_run_that_another_process_has_finished_meanwhile_is_not_written_again(toy_folder, monkeypatch):
    times = {}

    def overtaken(*arguments):
        monkeypatch.undo()
        train_here(*arguments)
        other = run_in(toy_folder)
        times.update({file: file.stat().st_mtime_ns for file in other.folder.rglob("*")})

    monkeypatch.setattr(experiment, "train_here", overtaken)
    done = run_in(toy_folder, reporter=(recorder := Recorder()))
    assert {file: file.stat().st_mtime_ns for file in done.folder.rglob("*")} == times
    assert "toy: scoring" not in recorder.notes


def test_a_run_waits_for_the_process_that_scores_it(toy_folder):
    folder = run_in(toy_folder).folder
    (folder / "SHA256SUMS").unlink()
    claim = Claim(folder.with_name(f".{folder.name}.claim"))
    assert claim.take()

    class Releases(Recorder):
        def note(self, text):
            super().note(text)
            if "waiting" in text:
                claim.release()

    run_in(toy_folder, reporter=(recorder := Releases()))
    assert recorder.notes[-2:] == [
        f"toy: waiting for process {os.getpid()}, which scores it",
        "toy: scoring",
    ]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_two_runs_have_the_same_bits(new_toy_folder):
    folder, other = new_toy_folder(), new_toy_folder()
    torch.manual_seed(1)
    first = run_in(folder)
    torch.manual_seed(2)
    second = run_in(other)
    assert same_bits(folder, other)
    assert first.result.rows == second.result.rows


def test_a_killed_run_continues_to_the_same_bits(new_toy_folder):
    folder, other = new_toy_folder(), new_toy_folder()
    recipe = killed_once(folder, after=5)
    for root in (folder, other):
        write_yaml(root / "toy.yaml", recipe)
    process = multiprocessing.get_context("spawn").Process(target=run_in, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not stages_in(folder), "the first stage was not finished"
    assert run_in(folder).result.rows == run_in(other).result.rows
    assert same_bits(folder, other)
    assert not list((folder / "cache" / "stages").glob("*.making-*"))


def test_recipes_share_stages_with_equal_content(toy_folder):
    toy = run_in(toy_folder)
    other = changed(RECIPE, name="other", soup="mean", stages=copy.deepcopy(RECIPE["stages"]))
    other["stages"][0]["name"] = "warm-up"
    write_yaml(toy_folder / "other.yaml", other)
    before = stages_in(toy_folder)
    run = run_in(toy_folder, "other")
    assert stages_in(toy_folder) == before
    assert [row.member for row in run.result.rows if row.kind == "soup"] == ["soup"]
    assert (run.folder / "soup.safetensors").is_file()
    assert run.result.row("seed 1").metrics == toy.result.row("seed 1").metrics


def test_another_readout_or_ranking_trains_nothing(toy_folder, monkeypatch):
    both = changed(RECIPE, training__readouts=["span", "second"])
    write_yaml(toy_folder / "toy.yaml", both)
    toy = run_in(toy_folder)
    before = stages_in(toy_folder)
    monkeypatch.setattr("amrbench.training.stages.fit", None)
    write_yaml(toy_folder / "other.yaml", both | {"name": "other", "readout": "second"})
    write_yaml(toy_folder / "wide.yaml", both | {"name": "wide", "ranking": ["cut", "mean-width"]})
    other, wide = (run_in(toy_folder, name) for name in ("other", "wide"))
    assert stages_in(toy_folder) == before
    assert len({run.result.hash for run in (toy, other, wide)}) == 3
    metrics = [[row.metrics for row in run.result.rows if row.kind == "seed"] for run in (toy, other, wide)]
    assert metrics[0] != metrics[1] != metrics[2] != metrics[0]


def test_a_model_has_the_weights_that_are_best_for_its_readout(toy_folder):
    both = changed(RECIPE, training__readouts=["span", "second"])
    for name in ("span", "second"):
        write_yaml(toy_folder / f"{name}.yaml", both | {"name": name, "readout": name})
    runs = {name: run_in(toy_folder, name) for name in ("span", "second")}
    done = stages_in(toy_folder)[runs["span"].result.models["seed 1"]]
    assert done["selected"]["span"]["epoch"] != done["selected"]["second"]["epoch"]
    for name, run in runs.items():
        opened = open_run(run.folder, REGISTRY, member="seed 1", cache=toy_folder / "cache")
        assert opened.weights.name == f"weights.{name}.safetensors"
        assert opened.weights.parent.name == run.result.models["seed 1"] == done["key"]


def test_seeds_with_chains_of_their_own_are_not_averaged(toy_folder):
    write_yaml(toy_folder / "toy.yaml", RECIPE | {"soup": "mean"})
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"chains": "own"})
    run = run_in(toy_folder)
    assert [row.kind for row in run.result.rows].count("seed") == 2
    assert not any(row.kind == "soup" for row in run.result.rows)
    assert run.result.protocol.chains == "own"
    assert [stage.stage for stage in run.result.stages] == [
        "toy pretrain",
        "toy finetune, seed 0",
        "toy pretrain, seed 1",
        "toy finetune, seed 1",
    ]
    assert len({stage.key for stage in run.result.stages}) == 4


def test_more_seeds_train_only_the_new_ones(toy_folder):
    run_in(toy_folder)
    before = stages_in(toy_folder)
    run = run_in(toy_folder, seeds=3)
    assert len(stages_in(toy_folder)) == len(before) + 1
    assert [row.member for row in run.result.rows][:3] == ["seed 0", "seed 1", "seed 2"]


def test_the_protocol_names_recipes_to_compare_with(toy_folder):
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"against": ["toy", "small"]})
    small = changed(RECIPE, name="small", training__losses=["frames"])
    write_yaml(toy_folder / "small.yaml", small)
    run = run_in(toy_folder)
    assert [result.recipe.name for result in run.all_results] == ["toy", "small"]
    assert {other.folder.name.split("@")[0] for other in run.against} == {"small"}
    assert find_run(None, below=toy_folder / "runs") == run.folder, "the requested recipe is the newest run"
    text = run_table(run.all_results).text()
    assert text.count("always 0-10 s") == 1
    assert "Stand-ins: one-hot stands in for absent." in text
    assert len(compare_with_baseline([run])) == 1


def test_a_run_without_others_is_compared_with_nothing(finished):
    assert compare_with_baseline([finished]) == []


def test_the_protocol_names_the_reference_even_if_it_is_requested_with_others(toy_folder):
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"against": ["small"]})
    for name in ("small", "other"):
        own = changed(RECIPE, name=name, training__losses=["frames"], training__batch=len(name))
        write_yaml(toy_folder / f"{name}.yaml", own)
    write_yaml(toy_folder / "toy.yaml", RECIPE | {"against": ["other"]})
    runs = run_all(
        [toy_folder / "toy.yaml", toy_folder / "small.yaml"],
        toy_folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(toy_folder),
    )
    assert [run.result.recipe.name for run in runs[0].against] == ["other"]
    (comparison,) = compare_with_baseline(runs)
    assert comparison.against == "small"
    assert {line.recipe for line in comparison.lines} == {"toy", "small", "other"}


def test_a_copy_with_the_name_of_a_recipe_that_it_is_compared_with_is_refused(toy_folder):
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"against": ["toy"]})
    write_yaml(toy_folder / "mine.yaml", changed(RECIPE, training__batch=3))
    with pytest.raises(RecipeError) as error:
        run_all(
            [toy_folder / "mine.yaml"],
            toy_folder / "tiny.yaml",
            registry=REGISTRY,
            settings=settings_in(toy_folder),
        )
    assert str(error.value) == (
        f"{toy_folder}/mine.yaml and {toy_folder}/toy.yaml are different recipes with the name 'toy', so "
        "their results could not be told apart. Change 'name' in one of them."
    )


def test_the_protocol_of_a_run_is_kept_as_it_was_read(toy_folder):
    file = toy_folder / "tiny.yaml"
    before = file.read_bytes()

    class Edits(Recorder):
        def epoch(self, stage, epoch):
            super().epoch(stage, epoch)
            file.write_text("name: of the next run")

    assert (run_in(toy_folder, reporter=Edits()).folder / "protocol.yaml").read_bytes() == before


def test_a_folder_of_runs_that_cannot_be_made_is_refused_before_data_is_prepared(toy_folder, monkeypatch):
    monkeypatch.setattr("amrbench.experiment.run.prepare", lambda *_, **__: pytest.fail("prepared"))
    (toy_folder / "runs").write_text("a file")
    with pytest.raises(RunError, match="runs is a file. Move it away, or name another folder with --out."):
        run_in(toy_folder)


def test_nobody_may_remove_data_while_a_run_prepares_it(toy_folder, monkeypatch):
    held = []

    def prepare(*arguments, **options):
        held.extend((toy_folder / "cache" / "running").glob("*.claim"))
        return actual(*arguments, **options)

    actual = experiment.prepare
    monkeypatch.setattr("amrbench.experiment.run.prepare", prepare)
    run_in(toy_folder)
    assert len(held) == 1
    assert not held[0].exists()


def test_several_recipes_are_run_together(toy_folder):
    write_yaml(toy_folder / "small.yaml", changed(RECIPE, name="small", training__losses=["frames"]))
    runs = run_all(
        [toy_folder / "small.yaml", toy_folder / "toy.yaml"],
        toy_folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(toy_folder),
    )
    assert [run.result.recipe.name for run in runs] == ["small", "toy"]


def test_slices_by_an_unknown_key_are_refused_before_training(toy_folder):
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"slices": ["kin"]})
    with pytest.raises(DataError, match=r"'slices' names 'kin', .* Did you mean 'kind'\?"):
        run_in(toy_folder)
    assert not stages_in(toy_folder)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda"])
def test_a_device_that_cannot_be_used_is_refused(toy_folder, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(RunError, match=rf"device '{device}'.*(Use cpu, cuda or cuda:N|Use --device cpu)"):
        run_in(toy_folder, device=device)


def test_a_loss_that_is_not_a_number_ends_the_run_with_advice(toy_folder):
    losses = ["frames", "spans", {"use": "failing", "kind": "nan", "after": 4}]
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__losses=losses))
    with pytest.raises(
        RunError, match=r"^toy pretrain, epoch 2, step 2 of 3: the loss term 'failing' is not "
    ):
        run_in(toy_folder)
    assert not stages_in(toy_folder)


def test_an_exception_from_infinite_weights_is_explained(toy_folder):
    losses = ["frames", {"use": "failing", "kind": "weights"}]
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__losses=losses))
    with pytest.raises(
        RunError, match="^toy pretrain, epoch 2, step 1 of 3: the weights 'losses.failing.wei"
    ):
        run_in(toy_folder)


def test_models_that_score_no_higher_than_a_baseline_are_noted_each_time(toy_folder):
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__optimizer={"use": "descent", "lr": 1e-6}))
    for _ in range(2):
        with pytest.warns(Note, match=r"^toy under tiny: models that score no higher at R1@0.7 than the "):
            run_in(toy_folder)


def test_a_run_that_has_changed_is_set_aside_and_made_again(toy_folder):
    first = run_in(toy_folder)
    aside = first.folder.with_name(f"{first.folder.name}.damaged")
    for number, name in enumerate(("result.json", "predictions/seed-0.test.jsonl"), 1):
        (first.folder / name).write_text('{"rows": []')
        with pytest.raises(RunError) as error:
            read_result(first.folder)
        assert str(error.value) == (
            f"{first.folder}: {name} has changed since the run wrote it. Move the folder away and run the "
            "recipe again; finished stages are kept."
        )
        with pytest.warns(Note) as notes:
            again = run_in(toy_folder)
        where = aside if number == 1 else f"{aside}-2"
        assert str(notes[0].message) == (
            f"the run {first.folder} is made again: {name} has changed; what was there is now in {where}"
        )
        assert again.result == first.result


def test_a_folder_without_a_run_is_named(toy_folder):
    with pytest.raises(RunError, match="there is no finished run"):
        read_result(toy_folder)


# ---------------------------------------------------------------- where stages are trained


ALONE = Registry.of(*PARTS)


def test_without_an_executor_for_this_machine_several_jobs_are_refused(toy_folder):
    files = toy_folder / "toy.yaml", toy_folder / "tiny.yaml"
    with pytest.raises(RunError) as error:
        experiment.run(*files, registry=ALONE, settings=settings_in(toy_folder, jobs=2))
    assert str(error.value) == (
        "no plugin offers the executor 'local', which trains several stages at the same time. Give --jobs 1, "
        "or do not leave out the plugin executors of amrbench."
    )
    experiment.run(*files, registry=ALONE, settings=settings_in(toy_folder))


@pytest.mark.parametrize(
    ("jobs", "cores", "room"), [(None, 2, MemoryRoom), (2, 1, AnyRoom), (None, 1, None), (1, 2, None)]
)
def test_memory_is_looked_at_only_if_nobody_says_how_many_jobs(toy_folder, monkeypatch, jobs, cores, room):
    """One job is done by this process."""
    rooms, ways = [], []

    def train_as_before(missing, store, *others):
        ways.append("here")
        return train_here(missing, store, *others)

    def train_by_others(executor, missing, store, *, task_of, room, reporter):
        rooms.append(type(room))
        train_here(missing, store, reporter, DatasetCache())

    monkeypatch.setattr(experiment, "_cores", lambda: cores)
    monkeypatch.setattr(experiment, "train_here", train_as_before)
    monkeypatch.setattr(experiment, "train_with", train_by_others)
    run_in(toy_folder, jobs=jobs, seeds=1)
    assert rooms == ([room] if room else [])
    assert ways == ([] if room else ["here"])
