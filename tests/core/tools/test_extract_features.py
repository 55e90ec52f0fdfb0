import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.data.worker_pool import no_report
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.claim import claim_beside
from amrbench.files.feature_file import open_feature_file
from amrbench.files.shard_manifest import read_manifest
from amrbench.notes import Note
from amrbench.registry import Registry
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.tools.extract_features import extract_features, job_for_dataset, job_for_folder
from amrbench.tools.shard_work import do_work
from amrbench.tools.shard_workers import ShardWorkers
from amrbench.types import Query
from tests.small_world.executors import Here
from tests.small_world.locks import held


class Ears(FeatureBackend):
    """Mean and loudness of each second; the length of each word."""

    name, audio_width, text_width, rate, hop = "ears", 2, 1, 8000, 1.0

    def audio(self, waveform):
        seconds = waveform[: len(waveform) // 8000 * 8000].reshape(-1, 8000)
        return np.stack([seconds.mean(1), np.abs(seconds).mean(1)], 1)

    def text(self, sentences):
        return [np.array([[len(word)] for word in text.split()], np.float32) for text in sentences]

    def fingerprint(self):
        return "1"


class EarsPart(FeaturesPart):
    """An encoder that needs nothing."""

    use = "ears"

    def build(self):
        return Ears()


class WithoutWeights(FeaturesPart):
    """An encoder whose weights are missing."""

    use = "without-weights"

    def build(self):
        return Ears()

    def required_files(self):
        return [RequiredFile("weights", Path("w"), False, Published("Zenodo 3"), "Put it there.")]


def write_tone(path, seconds, *, rate=8000, channels=1, level=0.25):
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(rate * seconds)) / rate
    wave = level * np.sin(2 * np.pi * 100 * times) + 0.1
    soundfile.write(path, np.stack([wave] * channels, 1), rate)


def extract(job, part=None, jobs=1, report=no_report, **options):
    return extract_features(job, part or EarsPart(), jobs=jobs, report=report, **options)


@pytest.fixture
def folder(tmp_path):
    audio = tmp_path / "audio"
    for number in range(10):
        write_tone(audio / f"{number}.wav", 1.5 + number / 4, level=0.05 * number)
    write_tone(audio / "more" / "stereo.flac", 2.0, rate=44100, channels=2)
    (audio / "notes.txt").write_text("no audio")
    return audio


def test_a_folder_of_audio_of_any_format_and_rate(folder, tmp_path):
    output = tmp_path / "out.h5"
    assert extract(job_for_folder(folder, output)) == (11, 0)
    file = open_feature_file(output)
    file.verify()
    assert list(file.audio.ids) == [*map(str, range(10)), "more/stereo"]
    assert file.audio.rows("4").shape == (2, 2)
    stereo = file.audio.rows("more/stereo")
    assert stereo.shape == (2, 2)
    np.testing.assert_allclose(stereo[:, 0], 0.1, atol=1e-3)
    assert not output.with_suffix(".extracting").exists()


def test_the_number_of_processes_changes_nothing(folder, tmp_path):
    outputs = [tmp_path / "one.h5", tmp_path / "two.h5"]
    for output, jobs in zip(outputs, (1, 2), strict=True):
        extract(job_for_folder(folder, output), jobs=jobs)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.fixture
def workers():
    """Processes of an executor, which does their work in this one."""

    def work_here(task):
        do_work(task.file, lambda without: Registry.of(EarsPart))
        return 0

    return ShardWorkers(Here(do=work_here, at_once=1), without=())


def test_an_executor_changes_nothing(folder, tmp_path, workers):
    outputs = [tmp_path / "one.h5", tmp_path / "two.h5"]
    for output, by in zip(outputs, (None, workers), strict=True):
        extract(job_for_folder(folder, output), workers=by)
        assert not output.with_suffix(".extracting").exists()
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_rows_in_half_precision(folder, tmp_path):
    single, half = tmp_path / "single.h5", tmp_path / "half.h5"
    extract(job_for_folder(folder, single))
    extract(replace(job_for_folder(folder, half), half=True))
    table = open_feature_file(half).audio
    assert table.half
    for name in table.ids:
        rows = open_feature_file(single).audio.rows(name)
        np.testing.assert_array_equal(table.rows(name), rows.astype(np.float16))


def test_a_folder_of_shards_with_a_manifest(folder, tmp_path, workers):
    whole = tmp_path / "whole.h5"
    extract(job_for_folder(folder, whole))
    for output, by in ((tmp_path / "here", None), (tmp_path / "there", workers)):
        assert extract(replace(job_for_folder(folder, output), shard_size=4), workers=by) == (11, 0)
    entries = read_manifest(tmp_path / "here")
    assert entries == read_manifest(tmp_path / "there")
    assert [len(entry.recordings) for entry in entries] == [4, 4, 3]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == sorted(
        [*(entry.shard for entry in entries), "manifest.jsonl"]
    )
    for entry in entries:
        assert entry.fault_in(tmp_path / "there") == ""
        table = open_feature_file(tmp_path / "here" / entry.shard).audio
        for name in entry.recordings:
            np.testing.assert_array_equal(table.rows(name), open_feature_file(whole).audio.rows(name))


def test_a_folder_of_shards_is_completed_and_not_made_again(folder, tmp_path):
    output = tmp_path / "shards"
    job = replace(job_for_folder(folder, output), shard_size=4)
    extract(job)
    first, second, _ = read_manifest(output)
    content = (output / second.shard).read_bytes()
    (output / second.shard).write_bytes(content[:-1])
    (output / first.shard).unlink()
    extract(job)
    assert [entry.fault_in(output) for entry in read_manifest(output)] == [""] * 3
    with pytest.raises(DataError) as error:
        extract(job)
    assert str(error.value) == (
        f"{output}: is complete already, so nothing was extracted. Move it away to extract it again."
    )


@pytest.mark.parametrize("output", [".", "", "../shards", "in/.."])
def test_the_folder_of_shards_may_be_the_current_one(folder, tmp_path, monkeypatch, output):
    current = tmp_path / "shards"
    (current / "in").mkdir(parents=True)
    monkeypatch.chdir(current)
    job = replace(job_for_folder(folder, Path(output)), shard_size=4)
    assert extract(job) == (11, 0)
    assert [entry.fault_in(current) for entry in read_manifest(current)] == [""] * 3
    assert job.lock == tmp_path / ".shards.amrbench.lock"
    with pytest.raises(DataError) as error:
        extract(job)
    assert str(error.value).startswith(f"{Path(output)}: is complete already, so nothing was extracted.")


@pytest.mark.parametrize("change", [{"shard_size": 5}, {"half": True}])
def test_shards_of_another_kind_are_not_mixed(folder, tmp_path, change):
    output = tmp_path / "shards"
    job = replace(job_for_folder(folder, output), shard_size=4)
    extract(job)
    manifest = (output / "manifest.jsonl").read_bytes()
    with pytest.raises(DataError) as error:
        extract(replace(job, **change))
    assert str(error.value) == (
        f"{output}: has features of other recordings, of other versions of them, or of another encoder, "
        "precision or --shard-size. Move it away, or name another output."
    )
    assert (output / "manifest.jsonl").read_bytes() == manifest


def test_an_interrupted_extraction_continues(folder, tmp_path):
    output, reported = tmp_path / "out.h5", []

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(job_for_folder(folder, output), report=interrupt)
    assert not output.exists()
    extract(job_for_folder(folder, output), report=reported.append)
    assert reported[0].done > 0, "at least one of two shards was kept"
    assert len(open_feature_file(output).audio.ids) == 11


def test_a_damaged_recording_is_named_and_the_rest_is_kept(folder, tmp_path):
    output = tmp_path / "out.h5"
    path = folder / "9.wav"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"9\.wav: truncated"):
        extract(job_for_folder(folder, output))
    assert not output.exists()
    write_tone(path, 2.0)
    assert extract(job_for_folder(folder, output)) == (11, 0)


def test_nothing_is_overwritten(folder, tmp_path):
    output = tmp_path / "out.h5"
    output.write_bytes(b"mine")
    with pytest.raises(DataError) as error:
        extract(job_for_folder(folder, output))
    assert str(error.value) == f"{output}: exists already and is not overwritten. Move it away."


def test_files_of_the_same_stem_are_left_alone(folder, tmp_path):
    lock = tmp_path / "poetry.lock"
    lock.write_text("mine")
    assert extract(job_for_folder(folder, tmp_path / "poetry.h5")) == (11, 0)
    assert lock.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("*poetry*")) == ["poetry.h5", "poetry.lock"]


def test_a_file_of_another_process_is_not_overwritten(folder, tmp_path):
    output, reported = tmp_path / "out.h5", []
    with held(claim_beside(output)) as release:

        def report(progress):
            if progress.what != f"{folder}: measuring":
                reported.append(progress.what)
                output.write_bytes(b"theirs")
                release()

        with pytest.raises(DataError) as error:
            extract(job_for_folder(folder, output), report=report)
    assert str(error.value) == f"{output}: exists already and is not overwritten. Move it away."
    assert reported == [f"{output}: waiting for process {os.getpid()}, which makes it"]
    assert output.read_bytes() == b"theirs"


def test_recordings_shorter_than_a_row_are_named_with_their_lengths(folder, tmp_path):
    output = tmp_path / "out.h5"
    write_tone(folder / "short.flac", 0.3, rate=44100)
    write_tone(folder / "more" / "shorter.wav", 0.999)
    with pytest.raises(DataError) as error:
        extract(job_for_folder(folder, output))
    assert str(error.value) == (
        "2 of 13 recordings are too short for the encoder 'ears', which gives a row for each 1 s: "
        f"'{folder}/more/shorter.wav (0.999 s)', '{folder}/short.flac (0.300 s)'. "
        "Leave them out, and queries about them."
    )
    assert not output.exists()


def test_a_recording_of_exactly_one_row_is_extracted(tmp_path):
    output = tmp_path / "out.h5"
    write_tone(tmp_path / "audio" / "exact.wav", 1)
    write_tone(tmp_path / "audio" / "resampled.wav", 44099 / 44100, rate=44100)
    assert extract(job_for_folder(tmp_path / "audio", output)) == (2, 0)
    assert open_feature_file(output).audio.lengths.tolist() == [1, 1]


def test_missing_weights_are_named_first(folder, tmp_path):
    with pytest.raises(DataError) as error:
        extract(job_for_folder(folder, tmp_path / "out.h5"), WithoutWeights())
    assert str(error.value).splitlines() == [
        "encoder 'without-weights' needs files that are missing:",
        "  weights: w. Published at Zenodo 3. Put it there.",
    ]


def test_folders_without_audio_and_names_of_two_files(tmp_path, folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"there are no audio files \(\.wav, "):
        job_for_folder(folder / "empty", tmp_path / "out.h5")
    write_tone(folder / "3.flac", 1)
    with pytest.raises(DataError) as error:
        job_for_folder(folder, tmp_path / "out.h5")
    assert str(error.value) == (
        f"{folder}: '3.flac' and '3.wav' could both be the file of '3'. Move one of them away, or give the "
        "two recordings ids of their own."
    )


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError) as error:
        job_for_folder(tmp_path / "none", tmp_path / "out.h5")
    assert str(error.value) == f"{tmp_path}/none: there is no such folder. Check the path."


def test_a_folder_that_cannot_be_read_is_not_skipped(tmp_path, folder, monkeypatch):
    scandir, closed = os.scandir, str(folder / "more")

    def refuse(path):
        # Not by permissions, which do not stop the administrator, who may run this test.
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError) as error:
        job_for_folder(folder, tmp_path / "out.h5")
    assert str(error.value) == (
        f"{closed}: cannot be read (Permission denied). Make it readable, or move it away."
    )


def test_a_name_that_is_not_utf_8(tmp_path, folder):
    (folder / "0.wav").rename(folder / os.fsdecode(b"caf\xe9.wav"))
    with pytest.raises(DataError) as error:
        job_for_folder(folder, tmp_path / "out.h5")
    assert str(error.value) == (
        f"{folder}: the name 'caf\\udce9' is not UTF-8. Rename the file or its folder."
    )


QUERIES = [
    Query("a_1", "a dog barks", "a", 3.0, ((0.0, 1.0),)),
    Query("a_2", "rain", "a", 3.0, ((0.0, 1.0),)),
    Query(5, "rain", "b", 2.0, ((0.0, 1.0),)),
]


def dataset_in(root):
    return DatasetFolder("x", root, {"train": PublishedSplit("train.jsonl")}, audio=Published("a friend"))


def test_a_data_set_without_annotations(tmp_path):
    with pytest.raises(DataError) as error:
        job_for_dataset(dataset_in(tmp_path), EarsPart())
    assert str(error.value) == (
        f"x: there are no annotations in {tmp_path}. Put one of train.jsonl there, or name an output "
        "with -o to extract features of a folder of audio files alone."
    )


def test_a_data_set_without_some_recordings(tmp_path):
    dataset = dataset_in(tmp_path)
    write_annotations(dataset.annotations("train"), QUERIES)
    write_tone(dataset.audio_folder / "a.ogg", 3.0)
    with pytest.raises(DataError) as error:
        job_for_dataset(dataset, EarsPart())
    assert str(error.value) == (
        f"{dataset.audio_folder}: 1 of 2 recordings are missing: 'b'. Published at a friend."
    )


def test_the_features_of_a_data_set_are_those_of_its_recordings_and_queries(tmp_path):
    dataset = dataset_in(tmp_path)
    write_annotations(dataset.annotations("train"), QUERIES)
    write_tone(dataset.audio_folder / "a.ogg", 3.0)
    write_tone(dataset.audio_folder / "b.wav", 2.0)
    assert extract(job_for_dataset(dataset, EarsPart())) == (2, 2)
    source = dataset.source("train", EarsPart())
    source.verify()
    assert source.audio("a").shape == (3, 2)
    assert [source.text(query).ravel().tolist() for query in QUERIES] == [[1, 3, 5], [4], [4]]


def in_two_splits(root):
    return DatasetFolder("x", root, {split: PublishedSplit(f"{split}.jsonl") for split in ("train", "test")})


@pytest.fixture
def extracted(tmp_path):
    """A folder with the features of its train split."""
    dataset = in_two_splits(tmp_path / "x")
    for name, seconds in (("a.wav", 3.0), ("b.wav", 2.0), ("c.wav", 4.0)):
        write_tone(dataset.audio_folder / name, seconds)
    write_annotations(dataset.annotations("train"), QUERIES)
    extract(job_for_dataset(dataset, EarsPart()))
    return dataset.root


def test_what_was_added_or_changed_is_added_to_the_feature_file(extracted):
    dataset = in_two_splits(extracted)
    file = dataset.feature_file(EarsPart())
    by_split = {
        "train": [*QUERIES[:2], replace(QUERIES[2], query="heavy rain")],
        "test": [Query("a_1", "a cat", "c", 4.0, ())],
    }
    for split, queries in by_split.items():
        write_annotations(dataset.annotations(split), queries)
    with pytest.raises(DataError, match=r"has no features of 1 of the 3 sentences"):
        dataset.source("train", EarsPart())
    with pytest.warns(Note) as notes:
        assert extract(job_for_dataset(dataset, EarsPart())) == (3, 4)
    assert [str(issued.message) for issued in notes] == [
        f"{file}: its features of 2 recordings and 2 sentences are kept; only the others were extracted."
    ]
    for split, queries in by_split.items():
        source = dataset.source(split, EarsPart())
        source.verify()
        assert [len(source.audio(query.vid)) for query in queries] == [query.duration for query in queries]
        for query in queries:
            assert source.text(query).ravel().tolist() == [len(word) for word in query.query.split()]


def test_a_complete_feature_file_is_not_extracted_again(extracted):
    dataset = in_two_splits(extracted)
    with pytest.raises(DataError) as error:
        extract(job_for_dataset(dataset, EarsPart()))
    assert str(error.value) == (
        f"{extracted}/features/ears.h5: is complete already, so nothing was extracted. Move it away to "
        "extract it again."
    )


def test_features_of_another_encoder_are_not_added(extracted, monkeypatch):
    monkeypatch.setattr(Ears, "fingerprint", lambda _: "2")
    with pytest.raises(DataError) as error:
        extract(job_for_dataset(in_two_splits(extracted), EarsPart()))
    assert str(error.value) == (
        f"{extracted}/features/ears.h5: has features of 'ears' (1), and those of 'ears' (2) cannot be added. "
        "Move it away."
    )


def test_rows_of_another_precision_are_not_added(extracted):
    job = job_for_dataset(in_two_splits(extracted), EarsPart())
    with pytest.raises(DataError) as error:
        extract(replace(job, half=True))
    assert str(error.value) == (
        f"{extracted}/features/ears.h5: has rows in single precision, and those in half precision cannot be "
        "added. Extract with the same --half, or move it away."
    )


def test_nothing_is_added_to_features_that_have_changed(extracted):
    dataset = in_two_splits(extracted)
    file = dataset.feature_file(EarsPart())
    rows = open_feature_file(file).audio.rows("a").tobytes()
    content = file.read_bytes()
    file.write_bytes(content.replace(rows, bytes(len(rows))))
    write_annotations(dataset.annotations("test"), [Query("c", "a cat", "c", 4.0, ())])
    with pytest.raises(DataError, match=r"ears\.h5: audio/rows of item 0 \('a'\) have changed on disk"):
        extract(job_for_dataset(dataset, EarsPart()))
