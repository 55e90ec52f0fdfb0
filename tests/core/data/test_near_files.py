from __future__ import annotations

import os
import time
from pathlib import Path, PurePath

import pytest

from amrbench.data.near_files import (
    NearFiles,
    about_missing_audio,
    about_missing_feature_file,
    about_missing_features,
    refuse_missing_recording,
)
from amrbench.data.recording_files import RecordingFiles
from amrbench.data.unread_files import not_audio, not_numbers
from amrbench.errors import DataError


@pytest.fixture(autouse=True)
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amrbench.data.audio.has_pyav", lambda: False)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def about(folder: Path, *ids: str) -> list[str]:
    files = RecordingFiles.with_audio(folder, ids)
    return [line.replace(f"{folder}/", "") for line in about_missing_audio(files, files.missing(ids))]


@pytest.mark.parametrize(
    ("own", "name", "sentence"),
    [
        ("a", "a.txt", "a.txt is there. .txt files are not audio."),
        ("a", "a.wav.part", "a.wav.part is there. Its download has not ended. Download it again."),
        ("a", "a", "a is there. It has no suffix. Add that of its format, e.g. .wav."),
        ("a", "A.wav", "A.wav is there, whose name differs in case only. Rename it."),
        (
            "a",
            "A.txt",
            "A.txt is there, whose name differs in case only. Rename it. .txt files are not audio.",
        ),
        (
            "a",
            "._a.wav",
            "only ._a.wav is there. It holds metadata of macOS. Copy the file itself, whose name has no "
            "'._'.",
        ),
        (
            "a",
            ".a.wav.icloud",
            "only .a.wav.icloud is there. The file itself is in iCloud. Download it there.",
        ),
        (
            "a_1",
            "a-01.wav",
            "a-01.wav is there, whose name differs in accents, zeros or other marks. Rename it.",
        ),
        (
            "château",
            "chateau.wav",
            "chateau.wav is there, whose name differs in accents, zeros or other marks. Rename it.",
        ),
        (
            "my street",
            "my%20street.wav",
            "my%20street.wav is there, whose name differs in accents, zeros or other marks. Rename it.",
        ),
        ("sub/a", "a.wav", "the id is a path; a.wav is there. Use the name of the file as the id."),
        ("C:\\x\\a.wav", "a.wav", "the id is a path; a.wav is there. Use the name of the file as the id."),
        ("-abc", "Y-abc_30.wav", "Y-abc_30.wav has a similar name. Rename it if it is the one."),
        ("street_noon", "street_non.wav", "street_non.wav has a similar name. Rename it if it is the one."),
    ],
)
def test_what_is_there_instead(tmp_path: Path, own: str, name: str, sentence: str) -> None:
    touch(tmp_path, name)
    assert about(tmp_path, own) == [f"{own!r}: {sentence}"]


@pytest.mark.parametrize(("own", "name"), [("train0", "train1.wav"), ("a", "b.wav"), ("ab", "xabx.wav")])
def test_files_of_other_recordings_are_not_near(tmp_path: Path, own: str, name: str) -> None:
    touch(tmp_path, name)
    assert about(tmp_path, own) == []


def test_files_that_belong_to_a_recording_are_not_near(tmp_path: Path) -> None:
    touch(tmp_path, "street_noon.wav")
    assert about(tmp_path, "street_noon", "street_moon") == []


def test_many_recordings_of_one_kind_give_one_line(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.m4a" for number in range(9)), "T.wav")
    first, second = about(tmp_path, *map(str, range(9)), "t")
    assert first.startswith("'0', '1', '2' and 6 more: 0.m4a is there. .m4a files are not read. Convert it, ")
    assert second == "'t': T.wav is there, whose name differs in case only. Rename it."


def test_names_in_another_coding_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    touch(tmp_path, name)
    (line,) = about(tmp_path, "caf\u00e9")
    assert line.startswith("'caf\u00e9': caf\\udce9.wav is there, whose name differs in accents, ")


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("gone.wav")
    assert about(tmp_path, "a") == [
        "'a': a.wav is there. It is a link to gone.wav, which is not there. Copy the file itself, or correct "
        "the link."
    ]


def test_archives_that_are_not_unpacked(tmp_path: Path) -> None:
    touch(tmp_path, "audio.zip")
    assert about(tmp_path, "a", "b") == ["audio.zip is there. It is an archive. Unpack it."]


def test_recordings_beside_the_folder_of_recordings(tmp_path: Path) -> None:
    files = RecordingFiles.with_audio(tmp_path / "audio", ["a"])
    assert about_missing_audio(files, ["a"], tmp_path) == [f"There is no folder {tmp_path}/audio."]
    touch(tmp_path, "wav/a.wav")
    assert about_missing_audio(files, ["a"], tmp_path) == [
        f"There is no folder {tmp_path}/audio.",
        f"{tmp_path}/wav has audio files, e.g. a.wav. Move them to {tmp_path}/audio.",
    ]
    (tmp_path / "wav" / "a.wav").rename(tmp_path / "audio.zip")
    assert about_missing_audio(files, ["a"], tmp_path) == [
        f"There is no folder {tmp_path}/audio.",
        f"{tmp_path}/audio.zip is there. It is an archive. Unpack it.",
    ]
    (tmp_path / "audio").symlink_to("/no/where")
    assert about_missing_audio(files, ["a"], tmp_path) == [
        f"{tmp_path}/audio is a link to /no/where, which is not there."
    ]


def test_text_features_without_qid_in_their_names() -> None:
    files = [PurePath("f/clap_text/a_1.npz"), PurePath("f/clap/a.pt"), PurePath("f/clap/b.npz")]
    assert NearFiles(files, (".npz", ".npy"), not_numbers).about(["qida_1", "a"]) == [
        "'qida_1': f/clap_text/a_1.npz is there, without 'qid' in its name. Rename it to qida_1.npz.",
        "'a': f/clap/a.pt is there. .pt files are not read. Save the numbers as .npz with numpy.savez: "
        "'features' of a recording, 'last_hidden_state' of a text.",
    ]


def test_a_folder_of_features_that_is_missing(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path / "clap", (), (".npz",))
    assert about_missing_features(files, ["a"]) == [
        f"There is no folder {tmp_path}/clap; {tmp_path} has none."
    ]
    touch(tmp_path, "CLAP/A.npz")
    assert about_missing_features(files, ["a"]) == [
        f"There is no folder {tmp_path}/clap; {tmp_path} has 'CLAP'."
    ]
    files = RecordingFiles(tmp_path / "CLAP", (), (".npz",))
    assert about_missing_features(files, ["a"]) == [
        f"'a': {tmp_path}/CLAP/A.npz is there, whose name differs in case only. Rename it."
    ]


def test_a_recording_that_is_named_and_not_there(tmp_path: Path) -> None:
    touch(tmp_path, "street.flac", "other/x.wav", "holiday-photos.zip", "lane.wav.zip")
    refuse_missing_recording(tmp_path / "street.flac")
    refuse_missing_recording(tmp_path / "other")
    with pytest.raises(DataError) as error:
        refuse_missing_recording(tmp_path / "Street.wav")
    assert str(error.value) == (
        f"{tmp_path}/Street.wav: there is no such audio file.\n"
        f"  'Street.wav': {tmp_path}/street.flac is there, whose name differs in case only. Rename it."
    )
    with pytest.raises(DataError) as error:
        refuse_missing_recording(tmp_path / "street.wav")
    assert str(error.value).endswith(
        f"'street.wav': {tmp_path}/street.flac is there. Use its name, or rename it."
    )
    with pytest.raises(DataError) as error:
        refuse_missing_recording(tmp_path / "piano.wav")
    assert str(error.value) == f"{tmp_path}/piano.wav: there is no such audio file. Check the path."
    with pytest.raises(DataError) as error:
        refuse_missing_recording(tmp_path / "lane.wav")
    assert str(error.value).endswith(f"{tmp_path}/lane.wav.zip is there. It is an archive. Unpack it.")
    with pytest.raises(DataError) as error:
        refuse_missing_recording(tmp_path / "no" / "a.wav")
    assert str(error.value) == f"{tmp_path}/no/a.wav: there is no folder {tmp_path}/no. Check the path."


def test_ten_thousand_files_take_no_time_for_each_name() -> None:
    files = [PurePath(f"recording {number} of the street.wav") for number in range(10_000)]
    names = [f"recording {number} of the streets" for number in range(1000)]
    start = time.process_time()
    lines = NearFiles(files, (".wav",), not_audio).about(names)
    assert time.process_time() - start < 10
    assert len(lines) == 3


def test_a_feature_file_in_other_letters_is_named(tmp_path: Path) -> None:
    path = tmp_path / "features" / "clap.h5"
    assert about_missing_feature_file(path) == []
    path.parent.mkdir()
    for name in ("m2d-clap.h5", "clap.missing.txt", "CLAP.importing"):
        path.with_name(name).touch()
    assert about_missing_feature_file(path) == []
    path.with_name("Clap.H5").touch()
    assert about_missing_feature_file(path) == [
        f"{tmp_path}/features/Clap.H5 is there, whose name differs in case only. Rename it to clap.h5, or "
        "move it away."
    ]
