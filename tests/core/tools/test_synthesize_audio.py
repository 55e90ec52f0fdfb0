from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.worker_pool import Progress
from amrbench.errors import DataError, RunError
from amrbench.files.annotations import read_annotations
from amrbench.tools.synthesize_audio import SynthesisJob, synthesize
from tests.core.toy_world import ToySet


def quiet(progress: Progress) -> None:
    pass


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_recordings_become_audio_files_and_annotations(tmp_path: Path, form: str) -> None:
    part = ToySet(rate=8000)
    told: list[Progress] = []
    files = synthesize(SynthesisJob(part, "train", 2, tmp_path / "heard", form), tell=told.append)
    recordings = [part.build().recording("train", index) for index in range(2)]
    assert [path.name for path in files] == [f"{each.vid}.{form}" for each in recordings]
    for path, recording in zip(files, recordings, strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(samples, recording.waveform, atol=2**-15)
    queries = read_annotations(tmp_path / "heard" / "annotations.jsonl")
    assert queries == [query for each in recordings for query in each.queries]
    assert [(each.done, each.total) for each in told] == [(1, 2), (2, 2)]


def test_no_more_recordings_than_there_are(tmp_path: Path) -> None:
    assert len(synthesize(SynthesisJob(ToySet(count=3, rate=8000), "val", 10, tmp_path), tell=quiet)) == 3


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(DataError, match="is not empty, and nothing in it is overwritten. Name a new one"):
        synthesize(SynthesisJob(ToySet(), "train", 1, tmp_path), tell=quiet)


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set 'toy' has no split 'test'.* Splits: train, val"):
        synthesize(SynthesisJob(ToySet(), "test", 1, tmp_path), tell=quiet)


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="audio format 'mp3' is not known; use flac or wav"):
        synthesize(SynthesisJob(ToySet(), "train", 1, tmp_path, "mp3"), tell=quiet)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/x: cannot be written \(.*\). Choose another folder"):
        synthesize(SynthesisJob(ToySet(), "train", 1, tmp_path / "file" / "x"), tell=quiet)


def test_all_recordings_whatever_the_number_of_processes(tmp_path: Path) -> None:
    for jobs in (1, 2):
        files = synthesize(
            SynthesisJob(ToySet(count=5, rate=8000), "train", None, tmp_path / str(jobs)),
            jobs=jobs,
            tell=quiet,
        )
        assert len(files) == 5
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / each).iterdir()} for each in "12")
    assert first == second
    assert sorted(path for path in first if not path.endswith(".flac")) == ["annotations.jsonl"]


def test_a_work_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    order = SynthesisJob(ToySet(count=5, rate=8000), "train", None, tmp_path / "heard")
    with pytest.raises(KeyboardInterrupt):
        synthesize(order, tell=interrupt)
    assert not (order.folder / "annotations.jsonl").exists()
    told: list[Progress] = []
    files = synthesize(order, tell=told.append)
    assert len(told) <= 3
    assert all(path.is_file() for path in files)
    whole = SynthesisJob(order.dataset, "train", None, tmp_path / "whole")
    synthesize(whole, tell=quiet)
    assert {path.name: path.read_bytes() for path in order.folder.iterdir()} == {
        path.name: path.read_bytes() for path in whole.folder.iterdir()
    }


def test_a_killed_worker_is_told_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        synthesize(
            SynthesisJob(ToySet(count=5, rate=8000, defect="die"), "train", None, tmp_path), tell=quiet
        )
    assert str(error.value) == (
        f"{tmp_path}: a worker process that writes recordings ended unasked; was it killed, or is memory "
        "short? What it finished is kept: give the same command again."
    )
    assert len(list(tmp_path.glob("*.flac"))) == 3


def test_another_work_does_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(SynthesisJob(ToySet(count=5, rate=8000), "train", None, tmp_path), tell=interrupt)
    for other, count in ((ToySet(count=5, rate=8000, seed=1), None), (ToySet(count=5, rate=8000), 2)):
        with pytest.raises(DataError) as error:
            synthesize(SynthesisJob(other, "train", count, tmp_path), tell=quiet)
        assert str(error.value) == (
            f"{tmp_path}: holds what is finished of other recordings: of another data set, split, format or "
            "number, or of corpora that have changed. Give the same command as then, or name a new folder."
        )
    # All five are asked for either way.
    assert len(synthesize(SynthesisJob(ToySet(count=5, rate=8000), "train", 9, tmp_path), tell=quiet)) == 5
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".flac"] * 5 + [".jsonl"]
