import json
import os
import shutil
import time
from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.files.claim import VOID_SECONDS, claimed
from amrbench.files.owner import Owner
from amrbench.files.run_folders import REMEMBERED, remember_runs
from amrbench.notes import Note
from amrbench.tools.list_runs import inventory, remove
from amrbench.tools.stored_items import size_of
from tests.core.tools.test_stored_items import ended, written
from tests.small_world.parts import REGISTRY
from tests.small_world.permissions import with_mode
from tests.small_world.runs import run_in, what_runs_left


@pytest.fixture
def world(finished, tmp_path, monkeypatch):
    """Return a copy of the folder of a finished run, with its cache; no protocol names other data."""
    monkeypatch.setattr("amrbench.tools.stored_data.named_data", lambda cache, registry: set())
    copy = Path(shutil.copytree(finished.folder.parents[1], tmp_path / "world"))
    shutil.rmtree(copy / "cache" / REMEMBERED)
    return copy


def inventory_of(world, *outs):
    return inventory(world / "cache", outs or [world / "runs"], REGISTRY)


def test_stages_and_data_of_runs_are_of_use(world):
    known = inventory_of(world)
    kinds = [item.kind for item in known.items]
    assert kinds.count("run") == 1
    (run,) = [item for item in known.items if item.kind == "run"]
    assert kinds.count("stage") >= 2
    used = [item for item in known.items if item.kind in ("stage", "data") and item.used_by]
    assert {item.used_by for item in used} == {(str(run.path),)}
    assert all(item.used_by for item in known.items if item.kind == "stage")
    assert not [item for item in known.stale if item.kind in ("run", "stage")]
    assert known.size == size_of(world / "cache")


def test_a_run_that_is_moved_away_leaves_stale_stages_unless_its_folder_is_named(world, finished):
    (world / "others").mkdir()
    name = finished.folder.name
    shutil.copytree(world / "runs" / name, world / "others" / name)
    (world / "runs" / name).rename(world / "elsewhere")
    assert not inventory_of(world).stale, "without any run it is not known what is of use"
    assert not [item for item in inventory_of(world, world / "others").stale if item.kind == "stage"]
    assert (
        inventory_of(world, world / "runs", world / "others").stale
        == inventory_of(world, world / "others").stale
    )


@pytest.mark.parametrize("damage", ["newer", "no JSON", "none"])
def test_stages_and_data_are_not_stale_while_a_run_cannot_be_read(world, finished, damage):
    folder = world / "others" / finished.folder.name
    shutil.copytree(finished.folder, folder)
    shutil.copytree(world / "cache" / "stages" / stage_of(world), world / "cache" / "stages" / ("0" * 24))
    outs = [world / "runs", world / "others"]
    assert "0" * 24 in [item.name for item in inventory_of(world, *outs).stale]
    if damage == "none":
        (folder / "result.json").unlink()
    else:
        (folder / "result.json").write_text('{"version": 2}' if damage == "newer" else "{")
    with pytest.warns(Note) as notes:
        known = inventory_of(world, *outs)
    assert not [item for item in known.stale if item.kind in ("stage", "data")]
    assert [str(note.message) for note in notes] == [
        f"the result.json of '{folder}' cannot be read, so it is not known which stages and data are of use, "
        "and none are stale. List them with the version of amrbench that wrote it, or move the folder out of "
        "its folder of runs."
    ]


def test_what_runs_in_another_folder_use_is_not_stale(world, finished, monkeypatch):
    shutil.copytree(finished.folder, world / "project" / "runs" / finished.folder.name)
    own = world / "runs" / finished.folder.name / "result.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {"stages": [], "data": []}))
    before = inventory_of(world).stale
    assert {"stage", "data"} <= {item.kind for item in before}
    for out in ("project/runs", "runs"):
        remember_runs(world / "cache", world / out)
    monkeypatch.chdir(world)
    known = inventory_of(world, Path("runs"))
    assert [item for item in known.stale if item.kind == "stage"] == []
    assert len(known.stale) < len(before) - 1, "data is of use too"
    assert len([item for item in known.items if item.kind == "run"]) == 1, "runs elsewhere are not listed"
    assert known.as_json()["elsewhere"] == [f"{world}/project/runs"]
    assert f"What runs in {world}/project/runs use is kept as well." in known.text("github")
    with with_mode(world / "project" / "runs", 0o000):
        assert inventory_of(world).elsewhere == (), "a folder that cannot be read is passed over"
    (world / "project").rename(world / "moved")
    assert inventory_of(world).elsewhere == (), "and so is one that is gone"


def stage_of(world):
    return min(path.name for path in (world / "cache" / "stages").iterdir())


def test_what_is_removed_is_made_again(world):
    before = what_runs_left(world)
    known = inventory_of(world)
    keys = [item.name for item in known.items if item.kind == "stage"]
    (name,) = [item.name for item in known.items if item.kind == "run"]
    removal = remove(known.chosen([*keys, name]), yes=True)
    assert removal.removed
    assert not [item for item in inventory_of(world).items if item.kind in ("run", "stage")]
    assert list((world / "cache" / "stages").iterdir()) == []
    run_in(world)
    assert what_runs_left(world) == before


def test_stale_items_are_removed_and_others_stay(world):
    store = world / "cache" / "stages"
    (key, *_) = sorted(path.name for path in store.iterdir())
    before = what_runs_left(world)
    (store / f"{key}.failed").mkdir()
    shutil.copytree(store / key, store / ("0" * 24))
    chosen = inventory_of(world).chosen(["stale"])
    assert {item.name for item in chosen if item.kind != "data"} == {f"{key}.failed", "0" * 24}
    shown = remove(chosen, yes=False)
    assert not shown.removed
    assert (store / f"{key}.failed").exists()
    remove(chosen, yes=True)
    assert what_runs_left(world) == before
    assert inventory_of(world).stale == []


def test_nothing_is_removed_while_a_process_works_with_the_cache(world):
    with claimed(world / "cache" / "stages" / f"{'0' * 24}.claim"):
        known = inventory_of(world)
        assert known.stale == []
        key = next(item.name for item in known.items if item.kind == "stage")
        with pytest.raises(RunError) as refused:
            known.chosen([key])
    assert str(refused.value) == (
        f"{key!r} cannot be removed: process {os.getpid()} works with it or may read it. Wait until it has "
        "ended."
    )


@pytest.mark.parametrize("renewed", [False, True])
def test_old_claims_of_other_machines_are_looked_at_twice(world, monkeypatch, renewed):
    store, waited = world / "cache" / "stages", []
    shutil.copytree(store / stage_of(world), store / ("0" * 24))
    claim = written(store / f"{'1' * 24}.claim", Owner("gpu4", 7, "other"), age=2 * VOID_SECONDS)

    def wait(seconds):
        waited.append(seconds)
        now = time.monotonic()
        monkeypatch.setattr("amrbench.files.claim.time.monotonic", lambda: now + seconds)
        if renewed:
            os.utime(claim)

    monkeypatch.setattr("amrbench.tools.list_runs.time.sleep", wait)
    stale = inventory(world / "cache", [world / "runs"], REGISTRY, settle=True).stale
    assert waited == [26.0]
    assert ("0" * 24 in [item.name for item in stale]) is not renewed


def test_without_old_claims_nothing_is_waited_for(world, monkeypatch):
    written(world / "cache" / "stages" / f"{'1' * 24}.claim", ended())
    monkeypatch.setattr("amrbench.tools.list_runs.time.sleep", pytest.fail)
    inventory(world / "cache", [world / "runs"], REGISTRY, settle=True)


def test_nothing_is_stale_while_a_run_scores(world, finished, monkeypatch):
    """No stage and no data has a claim then."""
    store, found = world / "cache" / "stages", []
    shutil.copytree(store / stage_of(world), store / ("0" * 24))
    shutil.copytree(world / "runs", world / "others")
    (folder,) = (world / "runs").iterdir()
    (folder / "SHA256SUMS").unlink()

    def look(*_):
        known = inventory_of(world, world / "others")
        found.append([item.name for item in known.stale if item.kind != "leftover"])

    monkeypatch.setattr("amrbench.experiment.run.copy_logs", look)
    run_in(world)
    assert found == [[]]
    assert "0" * 24 in [item.name for item in inventory_of(world, world / "others").stale]


def test_the_claim_of_a_run_that_was_killed_is_stale(world):
    (world / "cache" / "running").mkdir(exist_ok=True)
    path = written(world / "cache" / "running" / "a-7.claim", ended())
    known = inventory_of(world)
    assert {item.name: item.stale for item in known.stale if item.kind == "leftover"} == {
        "a-7.claim": "claim of a process that has ended"
    }
    remove(known.chosen(["stale"]), yes=True)
    assert not path.exists()


def test_an_unknown_name_is_refused_with_a_near_one(world):
    known = inventory_of(world)
    name = next(item.name for item in known.items if item.kind == "run")
    with pytest.raises(RunError) as refused:
        known.chosen([name[:-1]])
    assert str(refused.value) == (
        f"there is no {name[:-1]!r} in {world / 'cache'} and {world / 'runs'}. Did you mean {name!r}? "
        "Give 'stale', or names or paths from 'amrbench runs --json'."
    )


def test_a_name_that_is_in_several_folders_is_refused_and_a_path_is_taken(world, finished, monkeypatch):
    name = finished.folder.name
    shutil.copytree(world / "runs" / name, world / "others" / name)
    monkeypatch.chdir(world / "runs")
    known = inventory_of(world, Path(), world / "others")
    with pytest.raises(RunError) as refused:
        known.chosen([name])
    paths = f"'{world / 'runs' / name}', '{world / 'others' / name}'"
    assert str(refused.value) == f"{name!r} is the name of 2 items: {paths}. Give the path of one."
    assert [item.path for item in known.chosen([f"{world / 'runs' / name}/"])] == [Path(name)]
    monkeypatch.chdir(world)
    (chosen,) = known.chosen([f"runs/../others/{name}"])
    assert chosen.path == world / "others" / name


def test_a_folder_that_is_named_twice_counts_once(world, monkeypatch):
    monkeypatch.chdir(world)
    known = inventory_of(world, world / "runs", Path("runs"))
    assert [item.kind for item in known.items].count("run") == 1


# ---------------------------------------------------------------- what is shown


def test_tables_say_what_is_there_and_where(world):
    store = world / "cache" / "stages"
    for number in range(25):
        (store / f"{number:024d}.failed").mkdir()
    text = inventory_of(world).text("github")
    assert text.startswith(f"Cache: {world / 'cache'}, ")
    assert "(another one: AMRBENCH_CACHE)." in text
    assert f"Runs in {world / 'runs'}:" in text
    assert "toy under tiny, 2 seeds" in text
    assert "| left by processes | 25, 0.0 MiB | 0, 0.0 MiB" in " ".join(text.split())
    assert "'--remove stale' removes it:" in text
    assert text.endswith("more; --json lists all.")


def test_without_a_run_it_says_how_to_name_the_folder(world):
    text = inventory_of(world, world / "none").text("github")
    assert (
        f"There is no finished run in {world / 'none'}, so it is not known which stages and data are of use. "
        "Name the folders of your runs with --out."
    ) in text


def test_a_removal_is_shown_before_it_is_done(world):
    known = inventory_of(world)
    run = next(item for item in known.items if item.kind == "run")
    text = remove([run], yes=False).text("github")
    assert text.startswith("To be removed, 1 item, ")
    assert text.endswith("Nothing was removed. Give --yes to remove it.")
    assert run.path.exists()
    assert remove([run], yes=True).text("github").rpartition("\n")[2].startswith("Removed: 1 item, ")
    assert remove([], yes=True).text("github") == "Nothing is stale."


def test_all_of_it_is_plain_values(world):
    content = json.loads(json.dumps(inventory_of(world).as_json()))
    assert (content["cache"], content["runs"]) == (str(world / "cache"), [str(world / "runs")])
    assert content["items"][0].keys() == {
        "kind",
        "name",
        "path",
        "about",
        "size",
        "used_by",
        "stale",
        "held",
    }
    assert json.loads(json.dumps(remove([], yes=False).as_json())) == {"removed": False, "items": []}
