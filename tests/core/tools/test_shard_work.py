import json
import platform
import signal
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.file_shards import FileShard, write_shard_list
from amrbench.data.shards import TextShard, header_for
from amrbench.errors import AmrbenchError, DataError, RunError
from amrbench.files.claim import Claim
from amrbench.files.owner import this_process
from amrbench.files.shard_manifest import entry_of
from amrbench.interrupts import follow_parent
from amrbench.registry import Registry
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.features import FeaturesPart
from amrbench.tools import shard_work
from amrbench.tools.shard_work import WORKERS, Journal, ShardWork, do_work, work_in_worker
from amrbench.training.task_report import TaskReport
from tests.small_world.data import NOISE_RATE, Loudness
from tests.small_world.locks import held


class WithoutWeights(FeaturesPart):
    """An encoder whose weights are missing."""

    use = "without-weights"

    def build(self):
        raise NotImplementedError

    def required_files(self):
        return [RequiredFile("weights", Path("w"), False, Published("Zenodo 3"), "Put it there.")]


REGISTRY = Registry.of(Loudness, WithoutWeights)


def registry_of(without):
    assert without == ("soups",)
    return REGISTRY


@pytest.fixture
def shards(tmp_path):
    """Three shards of audio and one of sentences."""
    header, shards = header_for("toy", Loudness().build()), []
    for number in range(3):
        path = tmp_path / "audio" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).normal(size=NOISE_RATE) / 9, NOISE_RATE)
        files = ((str(number), path),)
        shards.append(FileShard(tmp_path / "out" / f"audio-{number}.h5", header, Loudness(), files))
    return [*shards, TextShard(tmp_path / "out" / "text-0.h5", header, Loudness(), ("a dog", "rain"))]


@pytest.fixture
def work(tmp_path, shards):
    """A function that writes the file of work on the shards, with some changes."""
    (folder := tmp_path / "out" / WORKERS).mkdir(parents=True)
    write_shard_list(folder / "shards.jsonl", shards)

    def write(**changes):
        asked = ShardWork(
            shards=folder / "shards.jsonl",
            folder=tmp_path / "out",
            header=shards[0].header,
            encoder={"use": "toy-features"},
            without=("soups",),
            environment={},
            host="gpu4",
        )
        file = folder / "work.json"
        file.write_text(asked.model_copy(update=changes).model_dump_json())
        return file

    return write


def test_all_shards_are_made_and_written_into_the_journal(work, shards):
    file = work()
    assert do_work(file, registry_of) == 4
    entries = [entry_of(shard.file) for shard in shards]
    assert all(shard.is_made() for shard in shards)
    begun = [shard.file.name for shard in shards]
    expected = [item for pair in zip(begun, entries, strict=True) for item in pair]
    journal = Journal(file)
    assert list(journal.new()) == expected
    assert list(journal.new()) == []
    assert TaskReport.read(file) == TaskReport()
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "shards.jsonl",
        "work.journal",
        "work.json",
        "work.report",
    ]


def test_the_encoder_is_built_once(work, shards, tmp_path):
    log = tmp_path / "calls"
    assert do_work(work(encoder={"use": "toy-features", "note": str(log)}), registry_of) == 4
    assert len({line.split("\t")[1] for line in log.read_text().splitlines()}) == 1


def test_a_worker_process_makes_the_same_without_a_plugin(work, shards):
    file = work(encoder={"use": "of-no-plugin"})
    assert work_in_worker(Loudness(), file) == 0
    assert all(shard.is_made() for shard in shards)
    shards[1].file.unlink()
    Path(shards[1].files[0][1]).unlink()
    assert work_in_worker(Loudness(), file) == 2
    assert f"{shards[1].files[0][1]}: " in TaskReport.read(file).error


def test_it_stops_before_the_next_recording(work, shards, monkeypatch):
    asked = iter([False, True])
    follow_parent(lambda: next(asked, True))
    try:
        assert work_in_worker(Loudness(), work()) == 128 + signal.SIGINT
    finally:
        follow_parent(lambda: False)
    assert [shard.is_made() for shard in shards] == [True, False, False, False]
    assert not list((shards[0].file.parent / WORKERS).glob("*.claim"))


def test_a_shard_that_another_process_makes_is_waited_for(work, shards, monkeypatch):
    monkeypatch.setattr(shard_work, "WAIT_SECONDS", 0.01)
    file = work()
    with held(file.parent / f"{shards[1].file.name}.claim") as release:

        def finish():
            shards[1].make()
            release()

        timer = threading.Timer(0.5, finish)
        timer.start()
        assert do_work(file, registry_of) == 3
        timer.join()
    assert all(shard.is_made() for shard in shards)


def test_a_shard_of_a_process_that_ended_is_made(work, shards, monkeypatch):
    file = work()
    claim = file.parent / f"{shards[0].file.name}.claim"
    claim.write_text(json.dumps(asdict(replace(this_process(), process=2**22 + 1))))
    assert not Claim(claim).is_held()
    assert do_work(file, registry_of) == 4


def test_lines_that_were_cut_off_are_left_out(tmp_path):
    journal = Journal(tmp_path / "work.json")
    journal.begin("a.h5")
    with journal.path.open("ab") as file:
        file.write(b'{"begun": "b.')
    assert list(journal.new()) == ["a.h5"]
    journal.begin("c.h5")
    journal.begin("d.h5")
    assert list(journal.new()) == ["d.h5"], "the cut line and the first one after it are one line"
    assert list(Journal(tmp_path / "none.json").new()) == []


@pytest.mark.parametrize("file", ["none/work.json", "full/work.json"])
def test_a_journal_that_cannot_be_written_is_named(tmp_path, file):
    reason = "No such file or directory"
    if file.startswith("full"):
        if not Path("/dev/full").exists():
            pytest.skip("there is no file that is always full")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "work.journal").symlink_to("/dev/full")
        reason = "No space left on device"
    journal = Journal(tmp_path / file)
    with pytest.raises(RunError) as error:
        journal.begin("a.h5")
    assert str(error.value) == f"{journal.path}: cannot be written ({reason}). Check the folder and the disk."


def failure(file):
    with pytest.raises(AmrbenchError) as error:
        do_work(file, registry_of)
    return str(error.value)


def test_an_error_names_the_machine_in_the_report(work, shards):
    Path(shards[1].files[0][1]).unlink()
    text = failure(work())
    assert text.startswith(f"{shards[1].files[0][1]}: ")
    file = work()
    assert failure(file) == text
    assert TaskReport.read(file).error == f"on {platform.node()}: {text}"
    assert failure(work(host=platform.node())) == text
    assert TaskReport.read(file).error == text


def test_another_encoder_is_refused(work, shards):
    header = replace(shards[0].header, fingerprint="f77")
    assert failure(work(header=header)) == (
        "the encoder 'toy-features' is another one than on gpu4 (none 1, not f77). The same versions of "
        "amrbench, of plugins and of weights must be on all machines."
    )


def test_an_encoder_without_its_files_is_refused(work):
    text = failure(work(encoder={"use": "without-weights"}))
    assert text.startswith("encoder 'without-weights' needs files that are missing:")


def test_work_that_is_missing_or_none(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
        do_work(tmp_path / "none.json", registry_of)
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(RunError) as error:
        do_work(tmp_path / "none.json", registry_of)
    assert str(error.value) == (
        f"{tmp_path}/none.json: is no work of this version of amrbench (this field is missing.). It is "
        "written by 'amrbench data extract --executor'; install the same version there and here."
    )
