from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.data.file_shards import FileShard
from amrbench.data.shards import header_for
from amrbench.data.worker_pool import no_report
from amrbench.errors import DataError, RunError
from amrbench.files.shard_manifest import entry_of
from amrbench.notes import Note
from amrbench.registry import Registry
from amrbench.tools import shard_workers
from amrbench.tools.shard_work import Journal, ShardWork, do_work
from amrbench.tools.shard_workers import ShardWorkers
from tests.small_world.data import NOISE_RATE, Loudness
from tests.small_world.executors import Here

REGISTRY = Registry.of(Loudness)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(shard_workers, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(shard_workers, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def shards(tmp_path):
    """Four shards of two recordings."""
    header, shards = header_for("toy", Loudness().build()), []
    (tmp_path / "audio").mkdir()
    (tmp_path / "out").mkdir()
    for number in range(4):
        files = tuple((f"{number}{name}", tmp_path / "audio" / f"{number}{name}.wav") for name in "ab")
        for _, path in files:
            soundfile.write(path, np.random.default_rng(number).normal(size=NOISE_RATE) / 9, NOISE_RATE)
        shards.append(FileShard(tmp_path / "out" / f"audio-{number}.h5", header, Loudness(), files))
    return shards


def work_here(task):
    try:
        do_work(task.file, lambda without: REGISTRY)
    except DataError:
        return 2
    return 0


def make(executor, shards, report=no_report):
    return ShardWorkers(executor, without=["soups"]).make(shards, what="toy: extracting", report=report)


def test_missing_and_damaged_shards_are_made(shards, tmp_path):
    shards[0].make()
    shards[1].make()
    content = bytearray(shards[1].file.read_bytes())
    content[-1] ^= 1
    shards[1].file.write_bytes(content)
    executor, reported = Here(do=work_here, at_once=2), []
    entries = make(executor, shards, reported.append)
    assert all(shard.is_made() for shard in shards)
    assert entries == {shard.file.name: entry_of(shard.file) for shard in shards[1:]}
    assert executor.waves == [["toy: extracting"] * 2]
    assert (reported[0].text(), reported[-1].text()) == ("toy: extracting: 2 of 8", "toy: extracting: 8 of 8")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [s.file.name for s in shards]


def test_shards_that_are_there_need_no_process(shards):
    for shard in shards:
        shard.make()
    assert make(Here(do=pytest.fail), shards) == {}


def test_processes_are_no_more_than_shards(shards):
    executor = Here(do=work_here, at_once=9)
    make(executor, shards)
    assert executor.waves == [["toy: extracting"] * 4]


def test_a_process_gets_all_that_it_needs(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path / "data"))
    works = []

    def look(task):
        works.append(ShardWork.read(task.file))
        assert (task.device, task.threads) == ("cpu", 1)
        return work_here(task)

    shards = [replace(shard, features=Loudness(wait=0.001)) for shard in shards]
    make(Here(do=look, at_once=1), shards)
    (work,) = works
    assert work.encoder["use"] == "toy-features"
    assert work.encoder["wait"] == 0.001
    assert work.without == ("soups",)
    assert work.environment["AMRBENCH_DATA"] == str(tmp_path / "data")


def lose(shard, times):
    """Return what loses a process in a shard so many times, and works then."""
    left = [times]

    def do(task):
        if not left[0]:
            return work_here(task)
        left[0] -= 1
        Journal(task.file).begin(shard.file.name)
        return -9

    return do


def test_a_lost_process_is_replaced(shards):
    with pytest.warns(Note) as notes:
        make(Here(do=lose(shards[2], 2), at_once=1), shards)
    assert [str(one.message) for one in notes] == [
        "toy: extracting: its process was killed with SIGKILL at '2a', '2b'; another one goes on"
    ] * 2
    assert all(shard.is_made() for shard in shards)


def test_recordings_that_lose_their_processes_again_and_again_are_named(shards):
    with pytest.warns(Note), pytest.raises(RunError) as error:
        make(Here(do=lose(shards[2], 9), at_once=1), shards)
    assert str(error.value).startswith(
        "toy: extracting: its process was killed with SIGKILL at '2a', '2b', 3 times. The system does so if "
        "memory is short"
    )


def test_processes_that_do_not_begin(shards):
    with pytest.warns(Note), pytest.raises(RunError) as error:
        make(Here(do=lambda task: -1, at_once=1), shards)
    assert str(error.value).startswith(
        "toy: extracting: its process was lost with its machine at its start, 3 times. What is finished is "
        "kept"
    )


def test_an_error_ends_all_processes(shards):
    shards[1].files[0][1].unlink()
    with pytest.raises(DataError) as error:
        make(Here(do=work_here, at_once=1), shards)
    assert str(error.value).startswith(f"{shards[1].files[0][1]}: ")
    assert shards[0].is_made()


def test_an_error_without_a_report(shards, tmp_path):
    with pytest.raises(DataError) as error:
        make(Here(do=lambda task: 1, at_once=1), shards)
    text, log = str(error.value).split("; see ")
    assert text == "toy: extracting: a job ended with exit code 1"
    assert log.startswith(f"{tmp_path}/out/workers/")


def test_jobs_are_ended_with_the_extraction(shards):
    ended = []

    class Busy:
        def slots(self):
            return 2

        def submit(self, tasks):
            return [self for _ in tasks]

        def poll(self):
            raise KeyboardInterrupt

        def terminate(self):
            ended.append(self)

    with pytest.raises(KeyboardInterrupt):
        make(Busy(), shards)
    assert len(ended) == 2
