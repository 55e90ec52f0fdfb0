from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.prepare import FeatureRequest, Prepared, prepare, prepare_all
from amrbench.data.resample import resample
from amrbench.data.worker_pool import Progress
from amrbench.errors import DataError, RunError
from amrbench.part import Part
from tests.core.toy_world import ToyFeatures, ToySet
from tests.folders import ROOT


def quiet(progress: Progress) -> None:
    pass


def made(
    cache: Path, jobs: int = 2, tell: Callable[[Progress], None] = quiet, **features: object
) -> Prepared:
    return prepare(ToySet(), "train", ToyFeatures(**features), cache=cache, jobs=jobs, tell=tell)


def content(prepared: Prepared) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in prepared.features.path.parent.iterdir()}


def lines(note: Path) -> list[str]:
    return note.read_text(encoding="utf-8").splitlines() if note.exists() else []


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return made(tmp_path_factory.mktemp("first"))


def test_it_holds_what_data_set_and_encoder_give(first: Prepared) -> None:
    part, world, encoder = ToySet(), ToySet().build(), ToyFeatures().build()
    recordings = [world.recording("train", index) for index in range(part.count)]
    assert first.queries == tuple(query for each in recordings for query in each.queries)
    for each in recordings:
        np.testing.assert_array_equal(first.audio(each.vid), encoder.audio(each.waveform))
        for query in each.queries:
            np.testing.assert_array_equal(first.text(query), encoder.text([query.query])[0])
    first.check()
    header = first.features.header
    assert (header.backend, header.hop) == ("toy-features", 1.0)
    assert header.source == "toy train"


def test_the_number_of_workers_changes_no_byte(first: Prepared, tmp_path: Path) -> None:
    one, three = made(tmp_path / "one", jobs=1), made(tmp_path / "three", jobs=3)
    assert content(one) == content(three) == content(first)


def test_what_lies_there_is_not_made_again(tmp_path: Path) -> None:
    note = tmp_path / "note"
    before = made(tmp_path, note=str(note))
    count = len(lines(note))
    told: list[Progress] = []
    again = made(tmp_path, tell=told.append, note=str(note))
    assert (len(lines(note)), told) == (count, [])
    assert (again.queries, again.fingerprint) == (before.queries, before.fingerprint)


def test_every_recording_and_sentence_is_encoded_once_by_one_thread(tmp_path: Path) -> None:
    note = tmp_path / "note"
    prepared = made(tmp_path, note=str(note))
    found = [line.split("\t") for line in lines(note)]
    sentences = {query.query for query in prepared.queries}
    assert sorted(name for name, _, _ in found) == sorted(
        ["audio"] * 20 + [f"text {each}" for each in sentences]
    )
    assert {threads for _, _, threads in found} == {"1"}
    assert os.getpid() not in {int(process) for _, process, _ in found}


def test_progress_counts_items(tmp_path: Path) -> None:
    told: list[Progress] = []
    prepared = made(tmp_path, tell=told.append)
    audio = [each for each in told if each.what == "toy train: audio for toy-features"]
    done = [each.done for each in audio]
    # Shards of 8, 8 and 4 items may end in any order.
    assert done[0] == 0
    assert sorted(later - before for before, later in itertools.pairwise(done)) == [4, 8, 8]
    assert {each.total for each in audio} == {20}
    sentences = len({query.query for query in prepared.queries})
    assert told[-1] == Progress("toy train: text for toy-features", sentences, sentences)


def test_other_data_lies_elsewhere(tmp_path: Path) -> None:
    wanted = [
        FeatureRequest(ToySet(), "train", ToyFeatures()),
        FeatureRequest(ToySet(), "val", ToyFeatures()),
        FeatureRequest(ToySet(seed=1), "train", ToyFeatures()),
        FeatureRequest(ToySet(), "train", ToyFeatures()),
    ]
    found = prepare_all(wanted, cache=tmp_path, jobs=1, tell=quiet)
    assert len({each.fingerprint for each in found}) == 3
    assert found[0].fingerprint == found[3].fingerprint
    assert sorted(path.suffix for path in (tmp_path / "data").iterdir()) == [""] * 3 + [".lock"] * 3


# ---------------------------------------------------------------- broken off

SLOW = """
import sys
from pathlib import Path
from tests.core.toy_world import ToyFeatures, ToySet
from amrbench.data.prepare import prepare
if __name__ == "__main__":
    features = ToyFeatures(wait=float(sys.argv[2]), note=sys.argv[3])
    found = prepare(ToySet(), "train", features, cache=Path(sys.argv[1]), jobs=2, tell=lambda each: None)
    print(found.fingerprint)
"""


def started(folder: Path, wait: float, note: str) -> subprocess.Popen[str]:
    script = folder / "slow.py"
    script.write_text(SLOW)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder / "cache"), str(wait), str(folder / note)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.01)


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
def test_a_killed_preparation_goes_on_and_gives_the_same_bytes(first: Prepared, tmp_path: Path) -> None:
    process = started(tmp_path, 0.15, "before")
    making = tmp_path / "cache" / "data"
    wait_for(lambda: list(making.glob("*.making/audio-*.h5")), "a first shard")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = lines(tmp_path / "before")
    assert 8 <= len(before) < 20
    wait_for(lambda: all(gone(int(line.split("\t")[1])) for line in before), "the end of the workers")
    kept = len(list(making.glob("*.making/audio-*.h5")))

    resumed = made(tmp_path / "cache", note=str(tmp_path / "after"))
    assert content(resumed) == content(first)
    audio = [line for line in lines(tmp_path / "after") if line.startswith("audio")]
    assert len(audio) == 20 - 8 * kept
    assert not list(making.glob("*.making"))


def test_two_writers_make_it_once_between_them(first: Prepared, tmp_path: Path) -> None:
    both = [started(tmp_path, 0.02, f"note{number}") for number in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [answer[0].strip() for answer in answers] == [first.fingerprint] * 2, answers
    total = [
        line for number in range(2) for line in lines(tmp_path / f"note{number}") if line.startswith("audio")
    ]
    assert len(total) == 20
    assert content(made(tmp_path / "cache")) == content(first)


def test_a_damaged_shard_is_made_again(first: Prepared, tmp_path: Path) -> None:
    note = tmp_path / "note"
    folder = tmp_path / "data" / f"{first.fingerprint}.making"
    with pytest.raises(DataError, match="gave"):
        made(tmp_path, defect="fewer")
    # The two differ in nothing but the encoder's name for itself, so the shards of one fit the other.
    other = next((tmp_path / "data").glob("*.making"))
    other.rename(folder)
    shard = next(folder.glob("audio-*.h5"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert content(made(tmp_path, note=str(note))) == content(first)
    assert sum(line.startswith("audio") for line in lines(note)) == 20


def test_a_damaged_cache_is_named_and_made_again_once_deleted(first: Prepared, tmp_path: Path) -> None:
    path = made(tmp_path).features.path
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        DataError, match=rf"{path}: truncated: .* Delete the file; what it held is made again"
    ):
        made(tmp_path)
    path.unlink()
    assert content(made(tmp_path)) == content(first)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"defect": "nan"}, r"recording '-é train 3': the audio has shape .* or is not finite"),
        ({"defect": "stereo"}, r"recording '-é train 3': the audio has shape \(1, \d+\) or is not finite"),
        ({"defect": "stranger"}, r"query 'another_0' names recording 'another' but comes with '-é train 3'"),
        (
            {"defect": "short"},
            r"toy defect=short train: recording '-é train 3' lasts 0\.60 s, and the encoder 'toy-features' "
            r"gives a row for each 1 s\. Leave it out, and queries about it\.",
        ),
        ({"defect": "silent"}, r"toy defect=silent train: the split has no queries"),
        ({"defect": "twice"}, r"features.h5: audio id 'train 0', .* stands twice"),
    ],
)
def test_broken_data_sets_are_refused(tmp_path: Path, dataset: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(ToySet(**dataset), "train", ToyFeatures(), cache=tmp_path, jobs=1, tell=quiet)


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        ("nan", r"audio features of '-é train \d+' are not finite in row 0"),
        ("narrow", r"audio features of '-é train \d+' have shape \(\d, 2\), not \(1 or more, 4\)"),
        ("empty", r"audio features of '-é train \d+' have shape \(0, 4\), not \(1 or more, 4\)"),
        ("fewer", r"encoder 'toy-features' gave 6 results for 7 sentences; it must give one for each"),
    ],
)
def test_broken_encoders_are_refused(tmp_path: Path, defect: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(tmp_path, defect=defect)


def test_a_killed_worker_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"ended unasked; was it killed, or is memory short\? What it finished is"
    ):
        made(tmp_path, defect="die")


def test_an_unknown_split_is_named_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set 'toy' has no split 'tain'. Did you mean 'train'?"):
        prepare(ToySet(), "tain", ToyFeatures(), cache=tmp_path, jobs=1, tell=quiet)


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"file/data/\w+\.lock: cannot be written \(.*\). Choose another folder"
    ):
        made(tmp_path / "file")


def test_another_version_of_a_part_is_made_anew(first: Prepared, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ToyFeatures, "version", 2)
    encoder = made(tmp_path).fingerprint
    monkeypatch.setattr(ToySet, "version", 3)
    assert len({first.fingerprint, encoder, made(tmp_path).fingerprint}) == 3


def test_a_file_in_the_way_is_named(first: Prepared, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{first.fingerprint}.making").write_text("")
    with pytest.raises(DataError, match=rf"data/{first.fingerprint}: cannot be made \(.*exists"):
        made(tmp_path)


def test_threads_of_the_parent_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    made(tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in os.environ


def test_audio_at_another_rate_is_resample(tmp_path: Path) -> None:
    prepared = prepare(ToySet(rate=250), "val", ToyFeatures(), cache=tmp_path, jobs=1, tell=quiet)
    lengths = {query.vid: query.duration for query in prepared.queries}
    assert [len(prepared.audio(vid)) for vid in lengths] == list(lengths.values())


def test_resampling_keeps_a_tone() -> None:
    time_in, time_out = np.arange(4410) / 44100, np.arange(1600) / 16000
    tone = resample(np.sin(2 * np.pi * 440 * time_in).astype(np.float32), 44100, 16000)
    middle = slice(200, 1400)
    np.testing.assert_allclose(tone[middle], np.sin(2 * np.pi * 440 * time_out)[middle], atol=1e-2)


def test_parts_of_the_toy_world_are_parts() -> None:
    assert issubclass(ToySet, Part)
