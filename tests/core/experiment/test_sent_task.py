import json
import platform

import pytest

from amrbench.config.load import find, load_method, load_protocol
from amrbench.discovery import load_registry
from amrbench.errors import RunError
from amrbench.experiment.sent_task import accept, do_sent, is_shared, pack_needed
from amrbench.experiment.stage_task import TaskFile, TaskWriter, find_stage, train_task
from amrbench.files.checksums import CHECKSUMS, changed_files
from amrbench.notes import Note
from amrbench.slots.executors import log_of
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.task_report import TaskReport
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import plan, train


@pytest.fixture
def here(tmp_path, toy_cache):
    """The cache folder of the machine that asks, with the data of the toy world and no stages."""
    (folder := tmp_path / "here").mkdir()
    (folder / "data").symlink_to(toy_cache / "data")
    return folder


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The cache folder of a machine that shares none, empty."""
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "there"))
    return tmp_path / "there"


@pytest.fixture
def last(toy_sources):
    """A stage that starts from another one."""
    return plan(toy_sources).chains[0]


@pytest.fixture
def task(toy_sources, last, here):
    train(last.parent, here / "stages")
    return TaskWriter([plan(toy_sources)], cache=here, without=[])(last).file


def train_there(file):
    """Do what the command does."""
    log_of(file).write_text("shown")
    train_task(file, lambda without: REGISTRY, NULL_REPORTER)
    return 0


def send(file, run=train_there, **changes):
    return do_sent(file.name, file.read_text(), pack_needed(file) | changes, run)


def test_what_is_trained_elsewhere_is_as_if_it_were_trained_here(
    task, here, there, last, tmp_path_factory, monkeypatch
):
    code, result = send(task)
    assert code == 0
    assert {type(data) for data in result.values()} == {bytes}
    assert not (here / "stages" / last.key).exists()
    accept(task, result)
    expected = train(last, tmp_path_factory.mktemp("store"))
    trained = here / "stages" / last.key
    assert changed_files(trained) == []
    assert (trained / CHECKSUMS).read_bytes() == (expected / CHECKSUMS).read_bytes()
    assert TaskReport.read(task) == TaskReport()
    assert log_of(task).read_text() == "shown"
    assert list((there / "data").glob("*/features.h5")), "generated data is kept for the next task"
    assert list((there / "tasks").iterdir()) == []
    assert sorted(path.name for path in (here / "stages").iterdir()) == sorted([last.key, last.parent.key])


def test_stages_that_are_there_are_not_written_again(task, there, last):
    send(task)
    file = there / "stages" / last.parent.key / CHECKSUMS
    before = file.stat().st_mtime_ns
    assert send(task)[0] == 0
    assert file.stat().st_mtime_ns == before
    (file.parent / "log.jsonl").unlink()
    with pytest.warns(Note, match=r"is fetched again: log.jsonl is missing; what was there is now in"):
        assert send(task)[0] == 0


def refusal(result):
    code, files = result
    assert code == 2
    return TaskReport.model_validate_json(files["report"]).error


def test_a_stage_that_changed_on_the_way_there_is_not_used(task, there, last):
    error = refusal(send(task, run=pytest.fail, **{f"{last.parent.key}/done.json": b"{}"}))
    assert error == (
        f"on {platform.node()}: {there}/stages/{last.parent.key}: what came from another machine is not what "
        "was sent (done.json has changed). Give the same command again."
    )


def test_a_stage_that_changed_on_the_way_back_is_not_used(task, here, there, last):
    _, result = send(task)
    with pytest.raises(RunError, match=r"is not what was sent \(done.json has changed\)"):
        accept(task, result | {f"{last.key}/done.json": b"{}"})
    assert not (here / "stages" / last.key).exists()


def test_a_task_that_fails_brings_its_report_and_log_back(task, here, there):
    def fail(file):
        log_of(file).write_text("Traceback")
        TaskReport(error="the disk is full").write(file)
        return 1

    code, result = send(task, run=fail)
    assert code == 1
    accept(task, result)
    assert TaskReport.read(task).error == "the disk is full"
    assert log_of(task).read_text() == "Traceback"
    assert [path.name for path in (here / "stages").iterdir()] == [TaskFile.read(task).starts_from[0]]


def test_a_machine_shares_the_folders_if_it_has_the_file(task):
    text = task.read_text()
    assert is_shared(task, text)
    assert not is_shared(task, text + " ")
    assert not is_shared(task.with_name("none.json"), text)
    task.write_bytes(b"\xff")
    assert not is_shared(task, text)


def test_tasks_of_other_versions_are_refused(task, there):
    assert refusal(do_sent("x.json", '{"kee": 1}', {}, pytest.fail)).startswith(
        f"on {platform.node()}: x.json: is no task of this version of amrbench ("
    )


def test_shards_need_shared_folders(tmp_path, there):
    file = tmp_path / "1.shards.json"
    file.write_text("{}")
    assert pack_needed(file) == {}
    assert refusal(send(file)) == (
        f"on {platform.node()}: features are made on machines that share the folders of audio and output, "
        "and this one does not. Mount them at the same paths here, or leave the machine out."
    )


def test_data_that_is_not_generated_must_be_there(task, tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path / "data"))
    registry = load_registry()
    options = {
        "recipe": load_method(find("recipe", "cgdetr"), registry).recipe.model_dump(mode="json"),
        "protocol": load_protocol(find("protocol", "castella"), registry).model_dump(mode="json"),
        "host": "gpu4",
        "away": True,
    }
    task.write_text(json.dumps(json.loads(task.read_text()) | options))
    with pytest.raises(RunError) as error:
        find_stage(TaskFile.read(task), task, registry, NULL_REPORTER)
    first, *_, last_line = str(error.value).splitlines()
    assert "needs files that are missing" in first
    assert str(tmp_path / "data" / "castella") in str(error.value)
    assert last_line == (
        f"{platform.node()} shares no folders with gpu4, so data sets and encoders that need files must have "
        "them at the same paths on both. Copy them there, or leave the machine out."
    )
