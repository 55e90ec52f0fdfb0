"""Features that executors make are those of one process, also when processes and machines are lost."""

import os
import signal

import numpy as np
import pytest
import soundfile

from amrbench.data.worker_pool import no_report
from amrbench.discovery import load_registry
from amrbench.notes import Note
from amrbench.tools.extract_features import extract_features, job_for_folder
from amrbench.tools.shard_workers import ShardWorkers
from amrbench_plugins.executors.ray_cluster import PRIVATE
from tests.plugin_site import forget_plugins, write_plugin
from tests.small_world.data import NOISE_RATE, Loudness
from tests.small_world.executors import install_toy_parts

PLUGIN = '''"""The encoder of the toy world."""
from amrbench import hookimpl
from tests.small_world.data import Loudness

@hookimpl
def amrbench_parts():
    return [Loudness]
'''


@pytest.fixture
def extract(tmp_path, monkeypatch):
    """Return a function that extracts features with an executor, and checks that they are those without."""
    (site := tmp_path / "site").mkdir()
    install_toy_parts(site, monkeypatch)
    write_plugin(site, "loud", PLUGIN)
    (audio := tmp_path / "audio").mkdir()
    for number in range(40):
        wave = np.random.default_rng(number).normal(size=2 * NOISE_RATE) / 9
        soundfile.write(audio / f"{number:02}.wav", wave, NOISE_RATE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    without = ("soups",)  # It offers parts of the same names.

    def run(use, *, jobs=2, report=no_report, wait=0.0, **options):
        executor = load_registry(without=without).find("executor", use)(**options)
        workers, calls = ShardWorkers(executor.build(jobs), without=without), tmp_path / "calls"
        extract_features(job_for_folder(audio, tmp_path / "one.h5"), Loudness(), jobs=1, report=no_report)
        encoder = Loudness(wait=wait, note=str(calls))
        job = job_for_folder(audio, tmp_path / "many.h5")
        extract_features(job, encoder, jobs=1, report=report, workers=workers)
        assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "many.h5").read_bytes()
        return [line.split("\t") for line in calls.read_text().splitlines()]

    yield run
    forget_plugins()


@pytest.fixture
def ray(monkeypatch):
    """Return Ray as a private cluster uses it; a cluster that was started is ended after the test."""
    for name, value in PRIVATE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Else whatever else runs here delays the tests.
    package = pytest.importorskip("ray")
    yield package
    package.shutdown()


def test_processes_of_this_machine(extract):
    calls = extract("local", wait=0.05)
    assert {threads for *_, threads in calls} == {"1"}
    assert len({process for _, process, _ in calls}) == 2, "each takes one shard after another"


def is_begun(progress):
    return progress.what.endswith("extracting") and 0 < progress.done < progress.total


class KillsOne:
    """Kills a process that has encoded a recording, once."""

    def __init__(self, calls):
        self.calls, self.killed = calls, False

    def __call__(self, progress):
        if is_begun(progress) and not self.killed:
            self.killed = True
            os.kill(int(self.calls.read_text().splitlines()[-1].split("\t")[1]), signal.SIGKILL)


def test_a_killed_process_is_replaced(extract, tmp_path):
    with pytest.warns(
        Note, match=r"extracting: its process was killed with SIGKILL at .*; another one goes on"
    ):
        extract("local", wait=0.05, report=KillsOne(tmp_path / "calls"))


def test_jobs_of_submitit(extract):
    pytest.importorskip("submitit")
    extract("submitit", cluster="local")


def test_a_private_cluster_of_ray(extract, ray):
    calls = extract("ray")
    assert len({process for _, process, _ in calls}) <= 2


def test_a_killed_process_of_ray_is_replaced(extract, ray, tmp_path):
    with pytest.warns(Note, match=r"its process was killed with SIGKILL at .*; another one goes on"):
        extract("ray", wait=0.1, report=KillsOne(tmp_path / "calls"))


def test_a_lost_machine_is_replaced(extract, ray):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    lost = [cluster.add_node(num_cpus=1)]

    def lose_machine(progress):
        if is_begun(progress) and lost:
            cluster.add_node(num_cpus=1)
            cluster.remove_node(lost.pop(), allow_graceful=False)

    with pytest.warns(Note, match=r"its process was lost with its machine at .*; another one goes on"):
        extract("ray", address=cluster.address, jobs=None, wait=0.1, report=lose_machine)
    assert not lost
    ray.shutdown()
    cluster.shutdown()
