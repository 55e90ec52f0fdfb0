import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import open_feature_file
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.features import FeaturesPart
from amrbench.tools.extract_features import extract_features, job_for_dataset, job_for_folder
from amrbench.types import Query
from tests.core.world import held


class Ears:
    """Mean and loudness of each second; the length of each word."""

    name, audio_width, text_width, rate, hop = "ears", 2, 1, 8000, 1.0

    def audio(self, waveform):
        seconds = waveform[: len(waveform) // 8000 * 8000].reshape(-1, 8000)
        return np.stack([seconds.mean(1), np.abs(seconds).mean(1)], 1)

    def text(self, sentences):
        return [np.array([[len(word)] for word in each.split()], np.float32) for each in sentences]

    def fingerprint(self):
        return "1"


class EarsPart(FeaturesPart):
    """An encoder that needs nothing."""

    use = "ears"

    def build(self):
        return Ears()


class Deaf(FeaturesPart):
    """An encoder whose weights are missing."""

    use = "deaf"

    def build(self):
        return Ears()

    def needs(self):

        return [
            RequiredFile(
                "weights", Path("w"), found=False, published=Published("Zenodo 3"), remedy="Put it there."
            )
        ]


def sound(path, seconds, *, rate=8000, channels=1, level=0.25):
    path.parent.mkdir(parents=True, exist_ok=True)
    at = np.arange(round(rate * seconds)) / rate
    wave = level * np.sin(2 * np.pi * 100 * at) + 0.1
    soundfile.write(path, np.stack([wave] * channels, 1), rate)


def go(order, part=None, jobs=1, tell=lambda _: None):
    return extract_features(order, part or EarsPart(), jobs=jobs, tell=tell)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "audio"
    for number in range(10):
        sound(place / f"{number}.wav", 1.5 + number / 4, level=0.05 * number)
    sound(place / "more" / "stereo.flac", 2.0, rate=44100, channels=2)
    (place / "notes.txt").write_text("no audio")
    return place


def test_a_folder_of_audio_of_any_format_and_rate(folder, tmp_path):
    output = tmp_path / "out.h5"
    assert go(job_for_folder(folder, output)) == (11, 0)
    store = open_feature_file(output)
    store.verify()
    assert list(store.audio.ids) == [*map(str, range(10)), "more/stereo"]
    assert store.audio.rows("4").shape == (2, 2)
    stereo = store.audio.rows("more/stereo")
    assert stereo.shape == (2, 2)
    np.testing.assert_allclose(stereo[:, 0], 0.1, atol=1e-3)
    assert not output.with_suffix(".extracting").exists()


def test_the_number_of_processes_changes_nothing(folder, tmp_path):
    outputs = [tmp_path / "one.h5", tmp_path / "two.h5"]
    for output, jobs in zip(outputs, (1, 2), strict=True):
        go(job_for_folder(folder, output), jobs=jobs)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_an_extraction_that_was_broken_off_goes_on(folder, tmp_path):
    output, seen = tmp_path / "out.h5", []

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(job_for_folder(folder, output), tell=interrupt)
    assert not output.exists()
    go(job_for_folder(folder, output), tell=seen.append)
    assert len(seen) < 2, "at least one of two shards was kept"
    assert len(open_feature_file(output).audio.ids) == 11


def test_a_damaged_recording_is_named_and_the_rest_is_kept(folder, tmp_path):
    output = tmp_path / "out.h5"
    path = folder / "9.wav"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"9\.wav: truncated"):
        go(job_for_folder(folder, output))
    assert not output.exists()
    sound(path, 2.0)
    assert go(job_for_folder(folder, output)) == (11, 0)


def test_nothing_is_overwritten(folder, tmp_path):
    output = tmp_path / "out.h5"
    output.write_bytes(b"mine")
    with pytest.raises(DataError) as error:
        go(job_for_folder(folder, output))
    assert str(error.value) == f"{output}: is there already, and nothing is overwritten. Move it away."


def test_what_another_process_made_meanwhile_is_not_overwritten(folder, tmp_path):
    output, told = tmp_path / "out.h5", []
    with held(output.with_suffix(".lock")) as let_go:

        def tell(progress):
            told.append(progress.what)
            output.write_bytes(b"theirs")
            let_go()

        with pytest.raises(DataError) as error:
            go(job_for_folder(folder, output), tell=tell)
    assert str(error.value) == f"{output}: is there already, and nothing is overwritten. Move it away."
    assert told == [f"{output}: waiting for process {os.getpid()}, which makes it"]
    assert output.read_bytes() == b"theirs"


def test_recordings_shorter_than_a_row_are_named_with_their_lengths(folder, tmp_path):
    output = tmp_path / "out.h5"
    sound(folder / "short.flac", 0.3, rate=44100)
    sound(folder / "more" / "shorter.wav", 0.999)
    with pytest.raises(DataError) as error:
        go(job_for_folder(folder, output))
    assert str(error.value) == (
        "2 of 13 recordings are too short for the encoder 'ears', which gives a row for each 1 s: "
        f"'{folder}/more/shorter.wav (0.999 s)', '{folder}/short.flac (0.300 s)'. "
        "Leave them out, and queries about them."
    )
    assert not output.exists()


def test_a_recording_that_lasts_a_row_to_the_sample_is_heard(tmp_path):
    output = tmp_path / "out.h5"
    sound(tmp_path / "audio" / "just.wav", 1)
    sound(tmp_path / "audio" / "resampled.wav", 44099 / 44100, rate=44100)
    assert go(job_for_folder(tmp_path / "audio", output)) == (2, 0)
    assert open_feature_file(output).audio.lengths.tolist() == [1, 1]


def test_weights_are_asked_for_first(folder, tmp_path):
    with pytest.raises(DataError) as error:
        go(job_for_folder(folder, tmp_path / "out.h5"), Deaf())
    assert str(error.value).splitlines() == [
        "encoder 'deaf' needs what is not here:",
        "  weights: w. Published at Zenodo 3. Put it there.",
    ]


def test_folders_without_audio_and_names_that_stand_twice(tmp_path, folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"there are no audio files \(\.wav, "):
        job_for_folder(folder / "empty", tmp_path / "out.h5")
    sound(folder / "3.flac", 1)
    with pytest.raises(DataError) as error:
        job_for_folder(folder, tmp_path / "out.h5")
    assert str(error.value) == f"{folder}/3.wav: 3.flac has the same name; rename one of them."


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as error:
        job_for_folder(tmp_path / "none", tmp_path / "out.h5")
    assert str(error.value) == f"{tmp_path}/none: there is no such folder. Check the path."


def test_a_folder_that_cannot_be_read_is_not_skipped(tmp_path, folder, monkeypatch):
    listed, closed = os.scandir, str(folder / "more")

    def refused(path):
        # Permissions do not stop the administrator, who may run this.
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError) as error:
        job_for_folder(folder, tmp_path / "out.h5")
    assert str(error.value) == (
        f"{closed}: cannot be read (Permission denied). Make it readable, or move it away."
    )


def test_a_name_that_is_no_text(tmp_path, folder):
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


def test_a_placed_data_set_gets_its_features(tmp_path):
    home = DatasetFolder("x", tmp_path, {"train": PublishedSplit("train.jsonl")}, audio=Published("a friend"))
    with pytest.raises(DataError) as error:
        job_for_dataset(home, EarsPart())
    assert str(error.value) == (
        f"x: no annotations are placed in {tmp_path}. Put one of train.jsonl there; or, to extract_features features "
        "of a folder of audio files alone, name the feature file to write with -o."
    )
    write_annotations(home.annotations("train"), QUERIES)
    sound(home.audio_folder / "a.ogg", 3.0)
    with pytest.raises(DataError) as error:
        job_for_dataset(home, EarsPart())
    assert str(error.value) == (
        f"{home.audio_folder}: 1 of 2 recordings are missing: 'b'. They are published at a friend."
    )
    sound(home.audio_folder / "b.wav", 2.0)
    home = DatasetFolder(home.name, home.root, home.facts)
    assert go(job_for_dataset(home, EarsPart())) == (2, 3)
    source = home.source("train", EarsPart())
    source.check()
    assert source.audio("a").shape == (3, 2)
    assert [source.text(query).ravel().tolist() for query in QUERIES] == [[1, 3, 5], [4], [4]]
