from amrbench.files.claim import claimed
from amrbench.tools.stored_runs import StoredRuns
from tests.core.tools.test_stored_items import ended, written
from tests.small_world.runs import seal
from tests.small_world.written_runs import make_run


def test_finished_runs_are_listed_with_recipe_and_protocol(tmp_path):
    folder = make_run(tmp_path / "poor@tiny-1", seeds=1)
    stored = StoredRuns(tmp_path)
    assert list(stored.results) == [folder]
    (item,) = stored.items()
    assert (item.kind, item.name, item.stale, item.held) == ("run", "poor@tiny-1", "", "")
    assert item.about == "poor@tiny-1 under tiny, 0 seeds"
    assert item.size == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_is_not_finished_or_was_set_aside_is_stale(tmp_path):
    for name in ("a@tiny-1", "b@tiny-1.damaged", "c@tiny-1"):
        make_run(tmp_path / name)
    (tmp_path / "a@tiny-1" / "SHA256SUMS").unlink()
    written(tmp_path / ".d@tiny-1.claim", ended())
    stale = {item.name: item.stale for item in StoredRuns(tmp_path).items() if item.kind == "leftover"}
    assert stale == {
        "a@tiny-1": "not finished; its recipe makes it again from trained stages",
        "b@tiny-1.damaged": "set aside because its files had changed",
        ".d@tiny-1.claim": "claim of a process that has ended",
    }


def test_a_run_that_is_scored_at_the_moment_is_held(tmp_path):
    make_run(tmp_path / "a@tiny-1")
    (tmp_path / "a@tiny-1" / "SHA256SUMS").unlink()
    with claimed(tmp_path / ".a@tiny-1.claim"):
        items = StoredRuns(tmp_path).items()
    assert {item.name for item in items} == {"a@tiny-1", ".a@tiny-1.claim"}
    assert all(item.held and not item.stale for item in items)


def test_a_result_that_cannot_be_read_is_never_stale(tmp_path):
    folder = make_run(tmp_path / "a@tiny-1")
    (folder / "result.json").write_text('{"version": 2}')
    seal(folder)
    stored = StoredRuns(tmp_path)
    assert stored.results == {}
    (item,) = stored.items()
    assert (item.kind, item.about, item.stale) == ("run", "its result.json cannot be read", "")


def test_other_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "recipe.yaml").touch()
    make_run(tmp_path / "a@tiny-1")
    (tmp_path / "a@tiny-1" / "SHA256SUMS").unlink()
    (tmp_path / "a@tiny-1" / "what-I-saw.txt").touch()
    (tmp_path / "figure.png").touch()
    (tmp_path / ".other.claim").touch()
    assert StoredRuns(tmp_path).items() == []
    assert StoredRuns(tmp_path / "none").items() == []
