import json

from amrbench.tools.dry_run import Forecast, dry_run
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import run_in, settings_in


def forecast_of(folder, **options) -> Forecast:
    return dry_run(
        [folder / "toy.yaml"],
        folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(folder, **options),
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
    assert min(forecast.seconds, forecast.memory_mib, forecast.disk_mib) > 0
    assert not list((toy_folder / "cache").iterdir())
    assert not (toy_folder / "runs").exists()
    assert "about" in forecast.text()


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


def test_a_run_after_a_dry_run_does_not_train_on_the_sample(toy_folder, toy_cache):
    data = toy_folder / "cache" / "data"
    data.unlink()
    forecast_of(toy_folder)
    data.symlink_to(toy_cache / "data")
    after_dry_run = run_in(toy_folder, out=toy_folder / "first").results
    (toy_folder / "cache" / "stages").rename(toy_folder / "elsewhere")
    assert run_in(toy_folder).results == after_dry_run
