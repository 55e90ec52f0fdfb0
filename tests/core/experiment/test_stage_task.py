import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from amrbench import interrupts
from amrbench.config.load import find, load_method, load_protocol
from amrbench.config.paths import with_resolved_paths
from amrbench.discovery import load_registry
from amrbench.errors import DataError, RecipeError, RunError
from amrbench.experiment import stage_task
from amrbench.experiment.plan import RunRequest
from amrbench.experiment.stage_task import TaskFile, TaskWriter, find_stage, train_task
from amrbench.registry import Registry
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.task_report import TaskReport
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import Recorder, changed, plan, train, write_yaml


@pytest.fixture
def planned(toy_sources):
    return plan(toy_sources)


@pytest.fixture
def folder(tmp_path, toy_cache):
    """Return a cache folder with the data of the toy world and no stages."""
    (tmp_path / "data").symlink_to(toy_cache / "data")
    return tmp_path


def write(planned, folder, spec=None):
    return TaskWriter([planned], cache=folder, without=["other"])(spec or planned.chains[0].parent)


def rewrite(task, **content):
    """Replace values of a task."""
    task.file.write_text(json.dumps(json.loads(task.file.read_bytes()) | content))


def test_each_stage_is_found_by_its_task(planned, folder):
    for spec in planned.stages:
        task = write(planned, folder, spec)
        assert (task.name, task.device, task.threads) == (spec.name, "cpu", 1)
        assert task.file.is_absolute()
        read = TaskFile.read(task.file)
        assert read.without == ("other",)
        assert find_stage(read, task.file, REGISTRY, NULL_REPORTER).key == spec.key


def test_a_task_is_trained_into_the_store(planned, folder, tmp_path_factory):
    first = planned.chains[0].parent
    task, asked = write(planned, folder), []

    def registry_of(without):
        asked.append(without)
        return REGISTRY

    assert train_task(task.file, registry_of, NULL_REPORTER).key == first.key
    assert asked == [("other",)]
    expected = train(first, tmp_path_factory.mktemp("store"))
    trained = folder / "stages" / first.key
    assert (trained / "SHA256SUMS").read_bytes() == (expected / "SHA256SUMS").read_bytes()
    assert TaskReport.read(task.file) == TaskReport()


def test_the_command_is_that_of_this_python(planned, folder):
    task = write(planned, folder)
    assert task.command[1:] == ["-m", "amrbench", "task", str(task.file)]
    assert task.log.parent == task.file.parent


def test_paths_of_a_task_are_absolute(planned, folder, monkeypatch):
    monkeypatch.chdir(folder)
    task = TaskWriter([planned], cache=Path("."), without=[])(planned.chains[0])
    assert task.file.parent == folder / "tasks"
    read = TaskFile.read(task.file)
    assert read.cache == folder
    assert all(Path(path).is_absolute() for path in read.environment.values())


def test_paths_that_start_from_the_protocol_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry, file = load_registry(), Path("protocols") / "own.yaml"
    data = yaml.safe_load(find("protocol", "synthetic").read_text())
    data["data"]["target"] = {"use": "files", "folder": "own"}
    write_yaml(file, data)
    method = load_method(find("recipe", "cgdetr"), registry)
    request = RunRequest(method, load_protocol(file, registry), file, registry, "cpu")
    stage = SimpleNamespace(key="key", content=dict, group=[])
    task = TaskFile.of(stage, request, cache=tmp_path, without=[])
    assert task.protocol["data"]["target"]["folder"] == str(tmp_path / "protocols" / "own")
    assert task.request(registry, tmp_path / "task.json").resolved == task_free(request).resolved


def task_free(request):
    """Return a request whose protocol has its paths as a task has them."""
    here = with_resolved_paths(request.protocol, Path.cwd() / request.protocol_file)
    return replace(request, protocol=here)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"key": 1}'])
def test_what_is_no_task_is_refused(tmp_path, text):
    (file := tmp_path / "task.json").write_text(text)
    with pytest.raises(
        RunError,
        match=r"task.json: is no task of this version of amrbench \(.*\). Tasks are written by 'amrbench run "
        "--executor'; install the same version there and here",
    ):
        TaskFile.read(file)
    with pytest.raises(DataError, match="none.json: cannot be read"):
        TaskFile.read(tmp_path / "none.json")


def test_a_stage_that_cannot_be_found_is_an_error_that_says_what_differs(planned, folder):
    task = write(planned, folder)
    content = planned.chains[0].parent.content() | {"engine": 0, "versions": {}}
    rewrite(task, key="0" * 64, content=content)
    message = (
        f"{task.file}: this machine would train other stages. What differs: engine, versions. The same "
        "versions of amrbench, of plugins and of data must be on all machines."
    )
    with pytest.raises(RunError) as error:
        train_task(task.file, lambda without: REGISTRY, NULL_REPORTER)
    assert str(error.value) == message
    assert TaskReport.read(task.file).error == message


def test_a_missing_part_is_named(planned, folder):
    task = write(planned, folder)
    with pytest.raises(RecipeError, match="no loss part is called 'frames'"):
        find_stage(TaskFile.read(task.file), task.file, _without("loss", "frames"), NULL_REPORTER)


def _without(slot, use):
    kept = [(of, name) for of in REGISTRY.slots() for name in REGISTRY.names(of) if (of, name) != (slot, use)]
    return Registry.of(*(REGISTRY.find(of, name) for of, name in kept))


def failing(toy_sources, folder, kind):
    """Return the task of a stage that fails."""
    losses = ["frames", "spans", {"use": "failing", "kind": kind, "after": 1}]
    return write(plan(toy_sources, changed(RECIPE, training__losses=losses), PROTOCOL), folder)


def test_a_failed_stage_leaves_its_message(toy_sources, folder):
    task = failing(toy_sources, folder, "nan")
    with pytest.raises(RunError, match="'failing' is not finite") as error:
        train_task(task.file, lambda without: REGISTRY, Recorder())
    assert TaskReport.read(task.file).error == str(error.value)


# ---------------------------------------------------------------- in a worker process of this machine


def test_a_worker_trains_the_same_and_leaves_a_report(planned, folder, tmp_path_factory):
    first = planned.chains[0].parent
    task = pickle.loads(pickle.dumps(write(planned, folder)))
    assert task.run() == 0
    expected = train(first, tmp_path_factory.mktemp("store"))
    trained = folder / "stages" / first.key
    assert (trained / "SHA256SUMS").read_bytes() == (expected / "SHA256SUMS").read_bytes()
    assert TaskReport.read(task.file) == TaskReport()
    assert task.log.read_text() == ""


@pytest.mark.parametrize(
    ("kind", "code", "error", "log"),
    [
        ("nan", 2, "the loss term 'failing' is not finite", ""),
        ("terminate", 143, "", ""),
        ("interrupt", 130, "", ""),
    ],
)
def test_a_worker_that_does_not_finish_has_the_exit_code_of_the_command(
    toy_sources, folder, kind, code, error, log
):
    task = failing(toy_sources, folder, kind)
    assert task.run() == code
    assert error in TaskReport.read(task.file).error
    assert task.log.read_text() == log


def test_a_bug_in_a_worker_leaves_its_traceback(planned, folder, monkeypatch):
    def bug(*_):
        raise ZeroDivisionError("of amrbench")

    monkeypatch.setattr(stage_task, "run_group", bug)
    task = write(planned, folder)
    assert task.run() == 1
    assert task.log.read_text().splitlines()[-1] == "ZeroDivisionError: of amrbench"
    assert TaskReport.read(task.file).error == ""


def test_a_worker_that_its_parent_asks_to_stop_saves_and_ends(planned, folder, monkeypatch):
    monkeypatch.setattr(interrupts, "_requests", interrupts._Requests())
    interrupts.follow_parent(lambda: True)
    assert write(planned, folder).run() == 130
    assert list(folder.glob("stages/*.making-*/state-*"))
