import json

import pytest

from amrbench.notes import Note
from amrbench.tools.dry_run import Forecast, StageForecast, dry_run, time_steps, training_seconds
from amrbench.training.progress_bars import NULL_REPORTER
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import Recorder, plan, run_in, settings_in


def forecast_of(folder, reporter=NULL_REPORTER, **options) -> Forecast:
    return dry_run(
        [folder / "toy.yaml"],
        folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(folder, **options),
        reporter=reporter,
    )


def test_a_dry_run_estimates_and_writes_nothing(toy_folder):
    (toy_folder / "cache" / "data").unlink()
    forecast = forecast_of(toy_folder)
    assert [split.present for split in forecast.splits] == [False] * 5
    assert [(stage.name, stage.present, stage.steps) for stage in forecast.stages] == [
        ("toy pretrain", False, 9),
        ("toy finetune, seed 0", False, 12),
        ("toy finetune, seed 1", False, 12),
    ]
    assert min(forecast.seconds, forecast.disk_mib) > 0
    assert not list((toy_folder / "cache").iterdir())
    assert not (toy_folder / "runs").exists()
    assert "about" in forecast.text()
    assert "as recorded" not in forecast.text(), "nothing was trained before"


def test_the_keys_of_stages_are_known_without_data(toy_folder):
    with_data = forecast_of(toy_folder)
    assert all(split.present for split in with_data.splits)
    (toy_folder / "cache" / "data").unlink()
    keys = [stage.key for stage in forecast_of(toy_folder).stages]
    assert keys == [stage.key for stage in with_data.stages]


def test_a_dry_run_finds_what_is_finished(toy_folder):
    run = run_in(toy_folder)
    forecast = forecast_of(toy_folder)
    assert forecast.finished == (run.folder.name,)
    assert forecast.seconds == 0
    more = forecast_of(toy_folder, seeds=3)
    assert [stage.present for stage in more.stages] == [True, True, True, False]
    json.dumps(more.as_json())


def test_a_dry_run_does_not_set_aside_a_run_that_has_changed(toy_folder):
    folder = run_in(toy_folder).folder
    (folder / "recipe.yaml").write_text("changed")
    before = files_in(toy_folder)
    with pytest.warns(Note) as notes:
        forecast = forecast_of(toy_folder)
    assert files_in(toy_folder) == before
    assert forecast.finished == ()
    assert [stage.present for stage in forecast.stages] == [True] * 3
    assert f"the run {folder} would be set aside and made again: recipe.yaml has changed" in [
        str(note.message) for note in notes
    ]


def files_in(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_a_run_after_a_dry_run_does_not_train_on_the_sample(toy_folder, toy_cache):
    data = toy_folder / "cache" / "data"
    data.unlink()
    forecast_of(toy_folder)
    data.symlink_to(toy_cache / "data")
    after_dry_run = run_in(toy_folder, out=toy_folder / "first").result.rows
    (toy_folder / "cache" / "stages").rename(toy_folder / "elsewhere")
    assert run_in(toy_folder).result.rows == after_dry_run


def test_a_dry_run_reports_what_it_does(toy_folder):
    (toy_folder / "cache" / "data").unlink()
    recorder = Recorder()
    forecast_of(toy_folder, reporter=recorder)
    assert "one-hot" in recorder.notes[0]
    assert recorder.notes[0].endswith("encoding 4 of 12 recordings")
    assert recorder.notes[-2:] == [
        "toy pretrain: timing steps of 1 and 4 queries",
        "toy finetune, seed 0: timing steps of 1 and 4 queries",
    ]


def test_the_time_of_an_earlier_seed_is_used(toy_folder):
    run_in(toy_folder)
    for file in (toy_folder / "cache" / "stages").glob("*/times.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        costs = {"seconds": 300.0, "memory_mib": 512.0}  # An epoch has three steps.
        file.write_text("".join(json.dumps(line | costs) + "\n" for line in lines))
    recorder = Recorder()
    forecast = forecast_of(toy_folder, seeds=3, reporter=recorder)
    assert not recorder.notes
    assert [stage.seconds for stage in forecast.stages] == [0, 0, 0, 1200]
    assert forecast.text().endswith("up to 512 MiB memory for each process, as recorded before")


def test_a_stage_of_an_older_version_is_not_counted(toy_folder):
    run_in(toy_folder)
    for done in (toy_folder / "cache" / "stages").glob("*/done.json"):
        done.write_text("{}")
    recorder = Recorder()
    forecast = forecast_of(toy_folder, seeds=3, reporter=recorder)
    assert len(recorder.notes) == 2
    assert forecast.seconds > 0


def stage(key, seconds):
    return StageForecast(key, key, present=False, steps=1, seconds=seconds, memory_mib=0.0, disk_mib=0.0)


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 16), (2, 10), (4, 10)])
def test_training_takes_all_the_work_or_the_longest_chain(jobs, seconds):
    shared = stage("pretrain", 4)
    chains = [[shared, stage("a", 6)], [shared, stage("b", 3)], [shared, stage("c", 3)]]
    assert training_seconds(chains, jobs) == seconds
    assert training_seconds([], jobs) == 0


def test_steps_of_each_size_are_timed(toy_sources):
    spec = plan(toy_sources).chains[0]
    times, disk_mib = time_steps(spec, (1, 4))
    assert len(times) == 2
    assert min(times) > 0
    assert disk_mib > 0
