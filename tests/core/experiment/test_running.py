import os

from amrbench.experiment.running import running
from amrbench.tools.stored_stages import StoredStages
from tests.small_world.parts import REGISTRY
from tests.small_world.permissions import with_mode


def test_a_process_that_runs_recipes_may_read_the_whole_cache(tmp_path):
    with running(tmp_path):
        assert StoredStages(tmp_path, REGISTRY).claims.busy == str(os.getpid())
    assert StoredStages(tmp_path, REGISTRY).claims.busy == ""
    assert list((tmp_path / "running").iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_read_without_a_claim(tmp_path):
    with with_mode(tmp_path, 0o555), running(tmp_path):
        assert list(tmp_path.iterdir()) == []
