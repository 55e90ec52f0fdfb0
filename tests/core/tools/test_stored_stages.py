import json
import re
import shutil

import pytest

from amrbench.files.claim import claimed
from amrbench.files.owner import this_process
from amrbench.registry import Registry
from amrbench.tools.stored_stages import StoredStages
from amrbench.training import store_layout
from tests.core.tools.test_stored_items import ended
from tests.small_world.parts import REGISTRY
from tests.small_world.runs import seal, stages_in


@pytest.fixture
def folder(finished, tmp_path):
    """Return a copy of the cache of a finished run."""
    shutil.copytree(finished.folder.parents[1] / "cache" / "stages", tmp_path / "stages")
    return tmp_path


def items(folder, users=(), busy="", *, known=True, registry=REGISTRY):
    found = StoredStages(folder, registry).items(dict.fromkeys(users, ("runs/a",)), busy, known=known)
    return {item.name: item for item in found}


def test_stages_that_no_run_uses_are_stale(folder):
    used, *others = stages_in_store(folder)
    listed = items(folder, [used])
    assert set(listed) == {used, *others}
    assert {item.kind for item in listed.values()} == {"stage"}
    assert (listed[used].stale, listed[used].used_by) == ("", ("runs/a",))
    assert {listed[key].stale for key in others} == {"no run uses it"}
    assert re.fullmatch(r"toy, seed [01], \d epochs", listed[used].about)
    assert listed[used].size == sum(file.stat().st_size for file in (folder / "stages" / used).iterdir())


def stages_in_store(folder):
    return [file.parent.name for file in sorted(folder.glob("stages/*/done.json"))]


def test_without_any_run_nothing_is_called_unused(folder):
    assert not any(item.stale for item in items(folder, known=False).values())


def test_all_stages_are_held_while_a_process_works(folder):
    assert {(item.held, item.stale) for item in items(folder, busy="7 on gpu4").values()} == {
        ("7 on gpu4", "")
    }


def test_old_stages_say_what_is_new(folder, monkeypatch):
    used, other, *_ = stages_in_store(folder)
    monkeypatch.setattr("amrbench.tools.stored_stages.ENGINE", store_layout.ENGINE + 1)
    old = f"trained by version {store_layout.ENGINE} of the loop, now {store_layout.ENGINE + 1}"
    listed = items(folder, [used])
    assert listed[other].stale == f"no run uses it; {old}"
    assert (listed[used].stale, listed[used].about.rpartition("; ")[2]) == ("", old)


def test_old_parts_are_named_and_missing_ones_are_not(folder):
    key = stages_in_store(folder)[0]
    file = folder / "stages" / key / "done.json"
    content = json.loads(file.read_text())
    name, version = next(iter(content["content"]["versions"].items()))
    content["content"]["versions"] = {"loss/of-a-stranger": "1", name: "older"}
    file.write_text(json.dumps(content))
    seal(file.parent)
    assert items(folder)[key].stale == f"no run uses it; trained with version older of {name}, now {version}"
    assert items(folder, registry=Registry.of())[key].stale == "no run uses it"


def test_what_ended_processes_left_is_stale(folder):
    key, other, *_ = stages_in_store(folder)
    store = folder / "stages"
    making = store / f"{key}.making-{ended().label}"
    making.mkdir()
    (making / "progress.json").write_text('{"epoch": 2, "done": 5, "steps": 69, "doing": "step"}')
    (store / f"{other}.making-another-7").mkdir()
    (store / f"{key}.failed").mkdir()
    (store / f"{key}.damaged").mkdir()
    (store / f"{other}.damaged-2").mkdir()
    (store / f"{key}.lock").touch()
    (store / other / "SHA256SUMS").unlink()
    (folder / "tasks").mkdir()
    (folder / "tasks" / f"{key}.{ended().label}.json").touch()
    listed = items(folder, [key])
    task = next(name for name in listed if name.endswith(".json"))
    goes_on = "; a run would go on with what it saved"
    assert {name: item.stale for name, item in listed.items() if item.kind == "leftover"} == {
        making.name: f"its training was stopped at epoch 2, after step 5 of 69{goes_on}",
        f"{other}.making-another-7": f"its training was stopped{goes_on}",
        f"{key}.failed": "the step of a training that failed; nothing reads it",
        f"{key}.damaged": "set aside because its files had changed",
        f"{other}.damaged-2": "set aside because its files had changed",
        f"{key}.lock": "not as training leaves a stage today",
        other: "not as training leaves a stage today",
        task: "a task for an executor whose process has ended",
    }


def test_what_a_process_makes_is_held(folder):
    key = stages_in_store(folder)[0]
    store, label = folder / "stages", this_process().label
    (store / f"{key}.making-{label}").mkdir()
    (folder / "tasks").mkdir()
    (folder / "tasks" / f"{key}.{label}.json").touch()
    with claimed(store / f"{'0' * 24}.group.claim"):
        listed = items(folder, [key])
    for name in (f"{key}.making-{label}", f"{key}.{label}.json", f"{'0' * 24}.group.claim"):
        assert listed[name].held
        assert not listed[name].stale


def test_a_stage_that_is_trained_again_is_held_by_its_claim(folder):
    key = stages_in_store(folder)[0]
    with claimed(folder / "stages" / f"{key}.claim"):
        assert items(folder)[key].held


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "notes.txt").touch()
    assert items(tmp_path) == {}
    assert stages_in(tmp_path) == {}
