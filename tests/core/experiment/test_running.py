import os

from amrbench.experiment.running import running
from amrbench.files.run_folders import remembered_runs
from amrbench.tools.stored_stages import StoredStages
from tests.small_world.parts import REGISTRY
from tests.small_world.permissions import with_mode


def test_a_process_that_runs_recipes_may_read_the_whole_cache(tmp_path):
    with running(tmp_path, tmp_path / "runs"):
        assert StoredStages(tmp_path, REGISTRY).claims.busy == str(os.getpid())
    assert StoredStages(tmp_path, REGISTRY).claims.busy == ""
    assert list((tmp_path / "running").iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_read_without_a_claim(tmp_path):
    with with_mode(tmp_path, 0o555), running(tmp_path, tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_the_folder_of_runs_is_remembered(tmp_path):
    (tmp_path / "runs").mkdir()
    with running(tmp_path / "cache", tmp_path / "runs"):
        pass
    assert remembered_runs(tmp_path / "cache") == [tmp_path / "runs"]
