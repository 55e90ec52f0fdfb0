from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.worker_pool import Progress, no_report
from amrbench.errors import DataError, RunError
from amrbench.files.annotations import read_annotations
from amrbench.tools.synthesize_audio import SynthesisJob, synthesize, write_one
from tests.small_world.data import Noise


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_recordings_become_audio_files_and_annotations(tmp_path: Path, form: str) -> None:
    part = Noise(rate=8000)
    reported: list[Progress] = []
    files = synthesize(SynthesisJob(part, "train", 2, tmp_path / "out", form), report=reported.append)
    recordings = [part.build().recording("train", index) for index in range(2)]
    assert [path.name for path in files] == [f"{recording.vid}.{form}" for recording in recordings]
    for path, recording in zip(files, recordings, strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(samples, recording.waveform, atol=2**-15)
    queries = read_annotations(tmp_path / "out" / "annotations.jsonl")
    assert queries == [query for recording in recordings for query in recording.queries]
    assert [(progress.done, progress.total) for progress in reported] == [(0, 2), (1, 2), (2, 2)]


def test_no_more_recordings_than_there_are(tmp_path: Path) -> None:
    job = SynthesisJob(Noise(count=3, rate=8000), "val", 10, tmp_path)
    assert len(synthesize(job, report=no_report)) == 3


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(DataError, match="is not empty and is not overwritten. Name a new one"):
        synthesize(SynthesisJob(Noise(), "train", 1, tmp_path), report=no_report)


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set 'toy' has no split 'test'.* Splits: train, val"):
        synthesize(SynthesisJob(Noise(), "test", 1, tmp_path), report=no_report)


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="audio format 'mp3' is unknown; use flac or wav"):
        synthesize(SynthesisJob(Noise(), "train", 1, tmp_path, "mp3"), report=no_report)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/x: cannot be written \(.*\). Choose another folder"):
        synthesize(SynthesisJob(Noise(), "train", 1, tmp_path / "file" / "x"), report=no_report)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_number_of_processes_does_not_change_the_files(tmp_path: Path) -> None:
    for jobs in (1, 2):
        job = SynthesisJob(Noise(count=5, rate=8000), "train", None, tmp_path / str(jobs))
        assert len(synthesize(job, jobs=jobs, report=no_report)) == 5
    first = files_in(tmp_path / "1")
    assert first == files_in(tmp_path / "2")
    assert sorted(path for path in first if not path.endswith(".flac")) == ["annotations.jsonl"]


def interrupt_after(done: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.done == done:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_job_continues(tmp_path: Path) -> None:
    job = SynthesisJob(Noise(count=5, rate=8000), "train", None, tmp_path / "interrupted")
    with pytest.raises(KeyboardInterrupt):
        synthesize(job, report=interrupt_after(2))
    assert not (job.folder / "annotations.jsonl").exists()
    reported: list[Progress] = []
    files = synthesize(job, report=reported.append)
    assert reported[0].done >= 2
    assert all(path.is_file() for path in files)
    uninterrupted = SynthesisJob(job.dataset, "train", None, tmp_path / "uninterrupted")
    synthesize(uninterrupted, report=no_report)
    assert files_in(job.folder) == files_in(uninterrupted.folder)


def test_a_killed_worker_is_an_error_and_finished_recordings_are_kept(tmp_path: Path) -> None:
    job = SynthesisJob(Noise(count=5, rate=8000, defect="die"), "train", None, tmp_path)
    with pytest.raises(RunError, match="that writes recordings ended itself with exit code 9"):
        synthesize(job, report=no_report)
    assert len(list(tmp_path.glob("*.flac"))) == 3


def test_what_a_killed_worker_has_begun_is_gone_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing runs after it, not even the removal of a file."""

    def written_in_part(file: Path, *_: object, **__: object) -> None:
        file.write_bytes(b"fLaC")
        raise Killed

    job = SynthesisJob(Noise(count=5, rate=8000), "train", None, tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        synthesize(job, report=interrupt_after(0))
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", written_in_part)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            write_one(job, 4)
    assert [path.read_bytes() for path in job.folder.rglob("*.part")] == [b"fLaC"]
    synthesize(job, report=no_report)
    whole = replace(job, folder=tmp_path / "whole")
    synthesize(whole, report=no_report)
    assert files_in(job.folder) == files_in(whole.folder)


def test_another_job_does_not_continue_in_the_same_folder(tmp_path: Path) -> None:
    job = SynthesisJob(Noise(count=5, rate=8000), "train", None, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        synthesize(job, report=interrupt_after(1))
    for other, count in ((Noise(count=5, rate=8000, seed=1), None), (Noise(count=5, rate=8000), 2)):
        with pytest.raises(DataError) as error:
            synthesize(SynthesisJob(other, "train", count, tmp_path), report=no_report)
        assert str(error.value) == (
            f"{tmp_path}: has recordings of another command: the data set, split, format or number differ, "
            "or its corpora have changed. Give the same command as before, or name a new folder."
        )
    # A count of 9 is the same job: the split has five recordings.
    assert len(synthesize(replace(job, count=9), report=no_report)) == 5
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".flac"] * 5 + [".jsonl"]
