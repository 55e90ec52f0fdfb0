import pytest

from amrbench.errors import RunError
from amrbench.experiment.run import run
from amrbench.training.stage_queue import missing_stages
from tests.small_world.parts import RECIPE, REGISTRY
from tests.small_world.runs import (
    Recorder,
    killed_once,
    plan,
    run_in,
    same_bits,
    settings_in,
    stages_in,
    train,
    write_yaml,
)


def test_shared_stages_are_missing_once_and_come_first(toy_sources, tmp_path):
    first, second = plan(toy_sources).chains
    assert [spec.name for spec in missing_stages([first, second], tmp_path)] == [
        *("toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1")
    ]
    train(first, tmp_path)
    assert [spec.name for spec in missing_stages([first, second], tmp_path)] == ["toy finetune, seed 1"]


def test_jobs_change_neither_keys_nor_bits(new_toy_folder):
    folder, other = new_toy_folder(), new_toy_folder()
    recorder = Recorder()
    one = run_in(folder)
    two = run(
        folder / "toy.yaml",
        folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(other, jobs=2, out=other / "elsewhere"),
        reporter=recorder,
    )
    assert same_bits(folder, other)
    assert one.result.rows == two.result.rows
    assert sorted(recorder.epochs) == sorted(
        [("toy pretrain", n) for n in (1, 2, 3)]
        + [(f"toy finetune, seed {seed}", n) for seed in (0, 1) for n in (1, 2, 3, 4)]
    ), "epochs of the workers are reported here"


def test_finished_stages_are_kept_when_a_worker_is_killed(toy_folder):
    write_yaml(toy_folder / "toy.yaml", killed_once(toy_folder, after=10))
    with pytest.raises(RunError, match=r"a worker process that trains was killed; .* finished is kept"):
        run_in(toy_folder, jobs=2)
    (pretrained,) = stages_in(toy_folder)
    done = toy_folder / "cache" / "stages" / pretrained / "done.json"
    time = done.stat().st_mtime_ns
    run_in(toy_folder)
    assert done.stat().st_mtime_ns == time


@pytest.mark.parametrize("jobs", [1, 2])
def test_queries_that_training_leaves_out_are_reported_once_a_stage(toy_folder, jobs):
    write_yaml(toy_folder / "toy.yaml", RECIPE | {"limits": {"frames": 6}})
    recorder = Recorder()
    run_in(toy_folder, reporter=recorder, jobs=jobs)
    assert [note for note in recorder.notes if "leaves out" in note] == [
        f"toy {stage}: training leaves out 12 of 24 queries, which have no window inside the feature rows of "
        "their recording"
        for stage in ("pretrain", "finetune")
    ]


def test_nothing_is_reported_if_training_leaves_out_no_query(toy_folder):
    recorder = Recorder()
    run_in(toy_folder, reporter=recorder)
    assert not any("leaves out" in note for note in recorder.notes)
