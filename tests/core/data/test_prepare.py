from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.feature_source import FeatureSource
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.worker_pool import Progress, Report, no_report
from amrbench.errors import DataError, RunError
from amrbench.files.feature_file import open_feature_file
from amrbench.notes import Note
from tests.folders import ROOT
from tests.small_world.data import Loudness, Noise


def prepare_one(
    cache: Path,
    dataset: Noise,
    split: str,
    features: Loudness,
    *,
    jobs: int = 1,
    report: Report = no_report,
) -> FeatureSource:
    (source,) = prepare([FeatureRequest(dataset, split, features)], cache=cache, jobs=jobs, report=report)
    return source


def made(cache: Path, jobs: int = 2, report: Report = no_report, **features: object) -> FeatureSource:
    return prepare_one(cache, Noise(), "train", Loudness(**features), jobs=jobs, report=report)


def content(source: FeatureSource) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(source.location).parent.iterdir()}


def lines(note: Path) -> list[str]:
    return note.read_text(encoding="utf-8").splitlines() if note.exists() else []


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FeatureSource:
    return made(tmp_path_factory.mktemp("first"))


def test_it_holds_what_data_set_and_encoder_give(first: FeatureSource) -> None:
    part, world, encoder = Noise(), Noise().build(), Loudness().build()
    recordings = [world.recording("train", index) for index in range(part.count)]
    assert first.queries == tuple(query for recording in recordings for query in recording.queries)
    for recording in recordings:
        np.testing.assert_array_equal(first.audio(recording.vid), encoder.audio(recording.waveform))
        for query in recording.queries:
            np.testing.assert_array_equal(first.text(query), encoder.text([query.query])[0])
    first.verify()
    header = open_feature_file(Path(first.location)).header
    assert (header.backend, header.hop) == ("toy-features", 1.0)
    assert header.source == "toy train"


def test_the_number_of_workers_changes_no_byte(first: FeatureSource, tmp_path: Path) -> None:
    one, three = made(tmp_path / "one", jobs=1), made(tmp_path / "three", jobs=3)
    assert content(one) == content(three) == content(first)


def test_a_split_in_the_cache_is_not_made_again(tmp_path: Path) -> None:
    note = tmp_path / "note"
    before = made(tmp_path, note=str(note))
    count = len(lines(note))
    reports: list[Progress] = []
    again = made(tmp_path, report=reports.append, note=str(note))
    assert (len(lines(note)), reports) == (count, [])
    assert (again.queries, again.fingerprint) == (before.queries, before.fingerprint)


def test_every_recording_and_sentence_is_encoded_once_by_one_thread(tmp_path: Path) -> None:
    note = tmp_path / "note"
    source = made(tmp_path, note=str(note))
    calls = [line.split("\t") for line in lines(note)]
    sentences = {query.query for query in source.queries}
    assert sorted(name for name, _, _ in calls) == sorted(
        ["audio"] * 20 + [f"text {sentence}" for sentence in sentences]
    )
    assert {threads for _, _, threads in calls} == {"1"}
    assert os.getpid() not in {int(process) for _, process, _ in calls}


def test_recordings_are_rendered_once_for_several_encoders(first: FeatureSource, tmp_path: Path) -> None:
    encoders = Loudness(), Loudness(gain=2.0)
    requests = [FeatureRequest(Noise(), "train", encoder) for encoder in encoders]
    sources = prepare(requests, cache=tmp_path, jobs=2, report=no_report)
    assert content(sources[0]) == content(first)
    assert content(sources[1]) == content(made(tmp_path / "alone", gain=2.0))
    note = tmp_path / "note"
    requests = [FeatureRequest(Noise(note=str(note)), "train", encoder) for encoder in encoders]
    prepare(requests, cache=tmp_path, jobs=2, report=no_report)
    assert sorted(lines(note)) == sorted(f"recording {index}" for index in range(20))


def test_of_several_encoders_only_what_is_missing_is_made(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    made(tmp_path, note=str(one))
    before = lines(one)
    encoders = Loudness(note=str(one)), Loudness(gain=2.0, note=str(other))
    requests = [FeatureRequest(Noise(), "train", encoder) for encoder in encoders]
    prepare(requests, cache=tmp_path, jobs=2, report=no_report)
    assert lines(one) == before
    assert sum(line.startswith("audio") for line in lines(other)) == 20


def test_progress_counts_items(tmp_path: Path) -> None:
    reports: list[Progress] = []
    source = made(tmp_path, report=reports.append)
    audio = [progress for progress in reports if progress.what == "toy train: audio for toy-features"]
    done = [progress.done for progress in audio]
    # Shards of 8, 8 and 4 items may end in any order, and parts of them count.
    assert (done[0], done[-1]) == (0, 20)
    assert done == sorted(done)
    assert {progress.total for progress in audio} == {20}
    sentences = len({query.query for query in source.queries})
    assert reports[-2] == Progress("toy train: text for toy-features", sentences, sentences)
    assert reports[-1] == Progress("toy train: joining the parts", 0, 0)


def test_other_data_has_another_key(tmp_path: Path) -> None:
    requests = [
        FeatureRequest(Noise(), "train", Loudness()),
        FeatureRequest(Noise(), "val", Loudness()),
        FeatureRequest(Noise(seed=1), "train", Loudness()),
        FeatureRequest(Noise(), "train", Loudness()),
    ]
    sources = prepare(requests, cache=tmp_path, jobs=1, report=no_report)
    assert len({source.fingerprint for source in sources}) == 3
    assert sources[0].fingerprint == sources[3].fingerprint
    assert sorted(path.suffix for path in (tmp_path / "data").iterdir()) == [""] * 3


# ---------------------------------------------------------------- interrupted

SLOW = """
import sys
from pathlib import Path
from tests.small_world.data import Loudness, Noise
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.worker_pool import no_report
if __name__ == "__main__":
    request = FeatureRequest(Noise(), "train", Loudness(wait=float(sys.argv[2]), note=sys.argv[3]))
    (source,) = prepare([request], cache=Path(sys.argv[1]), jobs=2, report=no_report)
    print(source.fingerprint)
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


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
def test_a_killed_preparation_continues_and_gives_the_same_bytes(
    first: FeatureSource, tmp_path: Path
) -> None:
    process = started(tmp_path, 0.15, "before")
    making = tmp_path / "cache" / "data"
    wait_for(lambda: list(making.glob("*.making/audio-*.h5")), "a first shard")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = lines(tmp_path / "before")
    assert 8 <= len(before) < 20
    wait_for(lambda: all(has_ended(int(line.split("\t")[1])) for line in before), "the end of the workers")
    kept = len(list(making.glob("*.making/audio-*.h5")))

    resumed = made(tmp_path / "cache", note=str(tmp_path / "after"))
    assert content(resumed) == content(first)
    audio = [line for line in lines(tmp_path / "after") if line.startswith("audio")]
    assert len(audio) == 20 - 8 * kept
    assert not list(making.glob("*.making"))


def test_two_processes_make_it_once_together(first: FeatureSource, tmp_path: Path) -> None:
    both = [started(tmp_path, 0.02, f"note{number}") for number in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [output[0].strip() for output in outputs] == [first.fingerprint] * 2, outputs
    audio = [
        line for number in range(2) for line in lines(tmp_path / f"note{number}") if line.startswith("audio")
    ]
    assert len(audio) == 20
    assert content(made(tmp_path / "cache")) == content(first)


def test_a_damaged_shard_is_made_again(first: FeatureSource, tmp_path: Path) -> None:
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


def test_a_damaged_cache_is_named_and_made_again_once_deleted(first: FeatureSource, tmp_path: Path) -> None:
    path = Path(made(tmp_path).location)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=rf"{path}: truncated: .* Delete the file; its content is made again"):
        made(tmp_path)
    path.unlink()
    assert content(made(tmp_path)) == content(first)


def test_changed_annotations_are_set_aside_and_made_again(first: FeatureSource, tmp_path: Path) -> None:
    folder = Path(made(tmp_path).location).parent
    file = folder / "annotations.jsonl"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"0", b"1", 1))
    with pytest.warns(Note) as notes:
        assert content(made(tmp_path)) == content(first)
    assert str(notes[0].message).endswith(
        f" is made again: annotations.jsonl has changed; what was there is now in {folder}.damaged"
    )
    assert file.read_bytes() == before


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"defect": "nan"}, r"recording '-é train 3': the audio has shape .* or is not finite"),
        ({"defect": "stereo"}, r"recording '-é train 3': the audio has shape \(1, \d+\) or is not finite"),
        (
            {"defect": "stranger"},
            r"query 'another_0' is about recording 'another' but comes with '-é train 3'",
        ),
        (
            {"defect": "short"},
            r"toy defect=short train: recording '-é train 3' lasts 0\.60 s, and the encoder 'toy-features' "
            r"gives a row for each 1 s\. Leave out this recording and the queries about it\.",
        ),
        ({"defect": "silent"}, r"toy defect=silent train: the split has no queries"),
        ({"defect": "twice"}, r"features.h5: audio id 'train 0', .* is repeated"),
    ],
)
def test_broken_data_sets_are_refused(tmp_path: Path, dataset: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare_one(tmp_path, Noise(**dataset), "train", Loudness())


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


def test_a_killed_worker_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r" that prepares data ended itself with exit code 9 at toy train: "):
        made(tmp_path, defect="die")


def test_an_unknown_split_is_named_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set 'toy' has no split 'tain'. Did you mean 'train'?"):
        prepare_one(tmp_path, Noise(), "tain", Loudness())


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match="file/data: prepared data would go there, but .*/file is a file. Move"
    ):
        made(tmp_path / "file")


def test_another_version_of_a_part_is_made_anew(first: FeatureSource, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Loudness, "version", 2)
    encoder = made(tmp_path).fingerprint
    monkeypatch.setattr(Noise, "version", 3)
    assert len({first.fingerprint, encoder, made(tmp_path).fingerprint}) == 3


def test_a_file_in_the_way_is_named(first: FeatureSource, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{first.fingerprint}.making").write_text("")
    with pytest.raises(DataError, match=rf"data/{first.fingerprint}: cannot be made \(.*exists"):
        made(tmp_path)


def test_audio_at_another_rate_is_resampled(tmp_path: Path) -> None:
    source = prepare_one(tmp_path, Noise(rate=250), "val", Loudness())
    lengths = {query.vid: query.duration for query in source.queries}
    assert [len(source.audio(vid)) for vid in lengths] == list(lengths.values())
