import os
import socket
import sys
from types import SimpleNamespace

import pytest

from amrbench.errors import RunError
from amrbench.slots.executors import LOST, Task
from amrbench_plugins.executors import ray_cluster
from amrbench_plugins.executors.ray_cluster import PRIVATE, RayCluster, RayJob
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


class RayError(Exception):
    """As that of Ray."""


class FakeRay:
    """Fails as Ray does at one of its calls."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, at="", error=None):
        self.at, self.error = at, error

    def called(self, name):
        if self.at == name:
            raise self.error

    def is_initialized(self):
        return False

    def init(self, **options):
        self.called("init")

    def cluster_resources(self):
        self.called("resources")
        return {"CPU": 3.0}

    def remote(self, **options):
        self.called("remote")
        return lambda function: SimpleNamespace(remote=lambda *arguments: arguments)

    def wait(self, results, timeout):
        self.called("wait")


@pytest.fixture
def fake_ray(monkeypatch):
    """Return a function that puts a `FakeRay` in place of the package."""
    for name, value in {**PRIVATE, "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)

    def install(at="", error=None):
        monkeypatch.setitem(sys.modules, "ray", FakeRay(at, error))

    return install


def cannot_use(address, reason):
    return (
        f"the executor ray cannot use the cluster at address {address!r} ({reason}). Give HOST:PORT of a "
        "cluster that runs, with the versions of Ray and Python of this machine. Without an address, a "
        "private cluster is started here."
    )


def test_an_address_where_nothing_listens_is_refused_at_once(fake_ray):
    fake_ray("init", AssertionError("Ray would try for a quarter of an hour"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    for written in (address, f"ray://{address}"):
        with pytest.raises(RunError) as refused:
            RayCluster(written, 1.0, 2).slots()
        assert isinstance(refused.value.__cause__, ConnectionRefusedError)
        assert str(refused.value) == cannot_use(written, refused.value.__cause__)


def test_a_cluster_that_ray_refuses_is_named(fake_ray):
    fake_ray("init", RuntimeError("Version mismatch:\n Ray 2.40"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunError) as refused:
            RayCluster(address, 1.0, 2).slots()
    assert str(refused.value) == cannot_use(address, "Version mismatch: Ray 2.40")
    fake_ray("init", ValueError("Invalid address format: wrong"))
    with pytest.raises(RunError) as refused:
        RayCluster("wrong", 1.0, 2).slots()
    assert str(refused.value) == cannot_use("wrong", "Invalid address format: wrong")


@pytest.mark.parametrize("at", ["init", "resources", "remote"])
def test_a_private_cluster_that_fails_is_named(fake_ray, tmp_path, at):
    fake_ray(at, RayError("the raylet died"))
    task = Task("one", tmp_path / "task.json", "cpu", 1, lambda: 0)
    task.file.write_text("{}")
    cluster = RayCluster("", 1.0, 2)
    with pytest.raises(RunError) as refused:
        cluster.submit([task] * cluster.slots())
    assert str(refused.value) == (
        "the executor ray cannot use a private cluster on this machine (the raylet died). Give the address "
        "of a cluster that runs, or train with --executor local."
    )


def test_a_task_that_nobody_can_ask_about_is_lost(tmp_path):
    assert RayJob(FakeRay("wait", RayError("no connection")), tmp_path / "task.json", None).poll() == LOST


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
