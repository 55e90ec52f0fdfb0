import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.data.file_shards import FileShard
from amrbench.data.shards import header_for
from amrbench.data.worker_pool import no_report
from amrbench.errors import DataError, RunError
from amrbench.files.owner import Owner, number_space, this_process
from amrbench.files.shard_manifest import entry_of
from amrbench.notes import Note
from amrbench.registry import Registry
from amrbench.tools import shard_workers
from amrbench.tools.shard_work import WORKERS, Journal, ShardWork, do_work
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


def test_folders_and_files_of_others_are_kept(shards, tmp_path):
    """Those of the user, and of a command on another machine whose claim of a shard is not void yet."""
    other = Owner("gpu4", 7, "0ff1ce").label
    kept = ["workers/notes", f"{WORKERS}/{other}/work-1.shards.json", f"{WORKERS}/audio-9.h5.claim"]
    for name in kept:
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
    make(Here(do=work_here, at_once=2), shards)
    assert [(tmp_path / "out" / name).read_text() for name in kept] == ["theirs"] * 3
    assert sorted(path.name for path in (tmp_path / "out" / WORKERS).iterdir()) == [other, "audio-9.h5.claim"]


def test_what_ended_commands_have_left_is_removed(shards, tmp_path):
    """Their folders, one of an earlier process with this number, and claims of shards that are there now."""
    ended = Owner("", 2**22 + 1, number_space()).label
    shards[1].make()
    names = [
        f"{ended}/work-1.shards.log",
        f"{this_process().label}/work-1.shards.journal",
        "audio-0.h5.claim",
        "audio-1.h5.claim",
        f".audio-1.h5.claim.{ended}.clock",
    ]
    for name in names:
        path = tmp_path / "out" / WORKERS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = {"host": "", "process": 2**22 + 1, "space": number_space()}
        path.write_text(json.dumps(owner if name.endswith("claim") else {"begun": "audio-9.h5"}))
    make(Here(do=work_here, at_once=1), shards)
    assert all(shard.is_made() for shard in shards)
    assert not (tmp_path / "out" / WORKERS).exists()


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
    assert log.startswith(f"{tmp_path}/out/{WORKERS}/{this_process().label}/")


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
