import os

import pytest

from amrbench_plugins.executors import ray_cluster
from amrbench_plugins.executors.ray_cluster import PRIVATE, RayCluster
from tests.small_world.executors import train_elsewhere
from tests.small_world.parts import RECIPE
from tests.small_world.runs import Recorder, killed_once, same_bits


@pytest.fixture
def ray(monkeypatch):
    """Return Ray as a private cluster uses it; a cluster that was started is ended after the test."""
    for name, value in PRIVATE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Else whatever else runs here delays the tests.
    package = pytest.importorskip("ray")
    yield package
    package.shutdown()


def test_stages_on_a_private_cluster_have_the_same_metrics(same_with, ray):
    same_with({"use": "ray"}, jobs=2)
    (node,) = ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert RayCluster("", 1.0, 1).slots() == 1


def test_a_killed_command_is_started_again(run_toy, tmp_path, ray):
    (tmp_path / "killed").mkdir()
    recipe = killed_once(tmp_path / "killed", after=2)
    _, recorder = run_toy("killed", {"use": "ray"}, recipe, jobs=2, seeds=1)
    assert any("its process was killed with SIGKILL at epoch 1, " in text for text in recorder.notes)


def slow_recipe():
    """Return a recipe with first stages that take longer than Ray takes to start a worker."""
    first, *others = RECIPE["stages"]
    return RECIPE | {"stages": [first | {"epochs": 400}, *others]}


def test_stages_of_a_lost_machine_are_trained_on_another(run_toy, tmp_path, ray):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    slow = slow_recipe()
    plain, _ = run_toy("plain", None, slow)
    cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    lost = cluster.add_node(num_cpus=1)

    class LosesMachine(Recorder):
        def epoch(self, stage, epoch):
            if not self.epochs:
                cluster.add_node(num_cpus=1)
                cluster.remove_node(lost, allow_graceful=False)
            super().epoch(stage, epoch)

    done, recorder = run_toy(
        "lost", {"use": "ray", "address": cluster.address}, slow, reporter=LosesMachine()
    )
    ray.shutdown()
    cluster.shutdown()
    assert done.result.rows == plain.result.rows
    assert any("its process was lost with its machine at epoch " in text for text in recorder.notes)


def test_machines_that_share_no_folders(run_toy, tmp_path, ray, monkeypatch):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    slow = slow_recipe()
    plain, _ = run_toy("plain", None, slow)
    cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    caches = [tmp_path / name for name in ("first", "second")]
    for cache in caches:
        cluster.add_node(num_cpus=1, env_vars={"AMRBENCH_CACHE": str(cache)})
    monkeypatch.setattr(ray_cluster, "train", train_elsewhere)
    done, recorder = run_toy("sent", {"use": "ray", "address": cluster.address}, slow, jobs=2)
    ray.shutdown()
    cluster.shutdown()
    assert done.result.rows == plain.result.rows
    assert same_bits(tmp_path / "plain", tmp_path / "sent")
    assert len(recorder.epochs) == 2 * (400 + 4)
    assert list((tmp_path / "sent" / "cache" / "tasks").glob("*.*")) == []
    trained = [len(list(cache.glob("stages/*/done.json"))) for cache in caches]
    assert min(trained) > 0
    assert sum(trained) >= 4, "two seeds of two stages; those that a stage starts from may be on both"
    assert all(list(cache.glob("data/*/features.h5")) for cache in caches)
