import pytest

from amrbench_plugins.executors.ray_cluster import RayCluster
from tests.small_world.runs import killed_once


@pytest.fixture
def ray():
    """Return Ray; a cluster that was started is ended after the test."""
    package = pytest.importorskip("ray")
    yield package
    package.shutdown()


def test_stages_on_a_private_cluster_have_the_same_metrics(same_with, ray):
    same_with({"use": "ray"}, jobs=2)
    assert ray.nodes()[0]["NodeManagerAddress"] == "127.0.0.1"
    assert RayCluster("", 1.0, 1).slots() == 1


def test_a_killed_command_is_started_again(run_toy, tmp_path, ray):
    (tmp_path / "killed").mkdir()
    recipe = killed_once(tmp_path / "killed", after=2)
    _, recorder = run_toy("killed", {"use": "ray"}, recipe, jobs=2, seeds=1)
    assert any("its job ended with exit code -9" in text for text in recorder.notes)
