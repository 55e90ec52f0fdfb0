import re
import shutil

import pytest

from amrbench.config.load import find, load_protocol, load_recipe
from amrbench.content_hash import content_hash
from amrbench.data.prepare import CachedSplit
from amrbench.data.required_splits import RequiredSplits
from amrbench.discovery import load_registry
from amrbench.files.claim import claimed
from amrbench.tools import stored_data
from amrbench.tools.stored_data import StoredData, named_data
from tests.small_world.parts import REGISTRY


@pytest.fixture
def cache(toy_sources, toy_cache, tmp_path, monkeypatch):
    """Return a copy of prepared data that no shipped protocol names."""
    shutil.copytree(toy_cache / "data", tmp_path / "data")
    monkeypatch.setattr(stored_data, "named_data", lambda cache, registry: set())
    return tmp_path


def items(cache, users=None, busy="", *, known=True):
    data = StoredData(cache, REGISTRY)
    return {item.name: item for item in data.items(users or {}, busy, known=known)}


def made(cache):
    return sorted(path.name for path in (cache / "data").iterdir() if len(path.name) == 24)


def test_data_that_no_run_uses_and_no_protocol_names_is_stale(cache, monkeypatch):
    one, two, *others = made(cache)
    monkeypatch.setattr(stored_data, "named_data", lambda cache, registry: {two})
    listed = items(cache, {one: ("runs/a",)})
    assert (listed[one].stale, listed[one].used_by) == ("", ("runs/a",))
    assert (listed[two].stale, listed[two].used_by) == ("", ())
    assert others
    assert {listed[key].stale for key in others} == {
        "no run uses it, and no shipped recipe and protocol name it"
    }
    assert re.fullmatch(r"toy name=\w+ (train|val|test) for one-hot", listed[one].about)


def test_protocols_are_only_asked_about_data_that_no_run_uses(cache, monkeypatch):
    monkeypatch.setattr(stored_data, "named_data", pytest.fail)
    every = dict.fromkeys(made(cache), ("runs/a",))
    assert not any(item.stale for item in items(cache, every).values())
    assert not any(item.stale for item in items(cache, known=False).values())
    busy = items(cache, busy="7")
    assert {(item.held, item.stale) for item in busy.values() if item.kind == "data"} == {("7", "")}


def test_users_are_found_by_fingerprint_also_of_several_encoders(cache):
    one, two, three, *_ = made(cache)
    used = [(one, "a"), (one, "a"), (content_hash([three, two]), "b"), (three, "a"), ("unknown", "c")]
    assert StoredData(cache, REGISTRY).users(used) == {one: ("a",), three: ("b", "a"), two: ("b",)}


def test_what_ended_processes_left_is_stale(cache):
    key, broken, held, *_ = made(cache)
    (cache / "data" / f"{key}.making").mkdir()
    (cache / "data" / f"{key}.damaged").mkdir()
    (cache / "data" / broken / "SHA256SUMS").unlink()
    (cache / "data" / f"{held}.lock").write_text('{"host": "x", "process": 1, "space": "y"}')
    listed = items(cache, dict.fromkeys(made(cache), ("runs/a",)))
    assert {name: item.stale for name, item in listed.items() if item.stale} == {
        f"{key}.making": "its preparation was stopped; a run would go on after what is finished",
        f"{key}.damaged": "set aside because its files had changed",
        broken: "not finished",
    }
    assert listed[held].held == listed[f"{held}.lock"].held == "1 on x"


def test_what_a_process_prepares_is_held(cache):
    key = made(cache)[0]
    (cache / "data" / f"{key}.making").mkdir()
    with claimed(cache / "data" / f"{key}.lock"):
        listed = items(cache)
    for name in (key, f"{key}.making", f"{key}.lock"):
        assert listed[name].held
        assert not listed[name].stale


def test_the_data_of_shipped_protocols_is_known(tmp_path, monkeypatch):
    registry, file = load_registry(), find("protocol", "synthetic")
    few = {"recipe": [find("recipe", "cgdetr")], "protocol": [file, find("protocol", "castella")]}
    monkeypatch.setattr(stored_data, "shipped", few.__getitem__)
    splits = RequiredSplits(load_recipe("cgdetr", registry), load_protocol(file, registry), file)
    assert {CachedSplit(split, tmp_path).key for split in splits.all} <= named_data(tmp_path, registry)


def test_recipes_of_parts_that_are_not_there_name_nothing(tmp_path):
    assert named_data(tmp_path, REGISTRY) == set()
