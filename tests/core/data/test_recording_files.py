from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path, PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amrbench.data.recording_files import IdsByName, RecordingFiles, only_file
from amrbench.errors import DataError
from amrbench.notes import Note

SUFFIXES = (".wav", ".flac", ".m4a")


def files_in(folder: Path, names: list[str], ids: list[str]) -> RecordingFiles:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return RecordingFiles(folder, ids, SUFFIXES)


NFC, NFD = "ch\u00e2teau", "cha\u0302teau"


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("a", "a.wav"),
        ("a", "a.WAV"),
        ("-a_1", "-a_1.Flac"),
        ("a", "train/deep/a.wav"),
        ("a.wav", "a.wav"),
        ("a.wav", "a.WAV"),
        ("a.WAV", "a.wav"),
        ("a.mp4", "a.wav"),
        ("a", "a.wav.wav"),
        ("a.wav", "a.wav.flac"),
        (NFC, f"{NFD}.wav"),
        (NFD, f"{NFC}.wav"),
        ("2.5_a", "2.5_a.wav"),
        ("2.5_a", "25_a.wav"),
        ("train/a", "train/a.wav"),
        ("train\\a.wav", "train/a.wav"),
        ("./train/a.wav", "train/a.wav"),
        ("audio/train/a.wav", "train/a.wav"),
    ],
)
def test_a_recording_has_a_file(tmp_path: Path, own: str, name: str) -> None:
    folder = tmp_path / "audio"
    files = files_in(folder, [name, "other.wav", "readme.txt"], [own, "other"])
    assert files.find(own) == folder / name
    assert files.missing([own, "other"]) == []
    assert files.others([own]) == [folder / "other.wav", folder / "readme.txt"]


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("a", "A.wav"),
        ("a", "._a.wav"),
        ("a", "a.mp3"),
        ("a", "ab.wav"),
        ("a", "a.0.wav"),
        ("val/a", "train/a.wav"),
        ("val/a", "a.wav"),
        ("../audio/a", "a.wav"),
        (".", "a.wav"),
    ],
)
def test_other_files_are_not_its_own(tmp_path: Path, own: str, name: str) -> None:
    files = files_in(tmp_path / "audio", [name], [own])
    assert files.find(own) is None
    assert files.missing([own, own]) == [own]


def test_a_folder_that_is_missing_has_no_files(tmp_path: Path) -> None:
    assert RecordingFiles.with_audio(tmp_path / "no", ["a"]).missing(["a"]) == ["a"]


@pytest.mark.parametrize("ids", [["a.0", "a0"], ["a.wav", "a.mp3"], ["2.5", "25"]])
def test_a_name_that_two_recordings_could_have_is_that_of_neither(tmp_path: Path, ids: list[str]) -> None:
    name = ids[0].removesuffix(".wav").replace(".", "")
    files = files_in(tmp_path, [f"{name}.flac"], ids)
    assert [files.find(own) for own in ids] == [
        None,
        *([tmp_path / f"{name}.flac"] if name == ids[1] else [None]),
    ]


def test_the_name_of_the_file_comes_before_names_without_suffix(tmp_path: Path) -> None:
    files = files_in(tmp_path, ["a.wav", "a.flac", "b.1.wav", "b1.wav"], ["a.wav", "b.1"])
    assert files.find("a.wav") == tmp_path / "a.wav"
    assert files.find("b.1") == tmp_path / "b.1.wav"


def test_two_files_of_one_recording_are_named(tmp_path: Path) -> None:
    files = files_in(tmp_path, ["train/a.wav", "val/a.flac"], ["a"])
    with pytest.raises(DataError) as error:
        files.find("a")
    assert str(error.value) == (
        f"{tmp_path}: 'train/a.wav' and 'val/a.flac' could both be the file of 'a'. Move one of them away, "
        "or give the two recordings ids of their own."
    )
    assert files.others(["a"]) == []


def test_names_that_differ_in_the_coding_of_letters_alone_are_two_files(tmp_path: Path) -> None:
    files = files_in(tmp_path, [f"{NFC}.wav", f"{NFD}.wav"], [NFC])
    with pytest.raises(DataError, match="could both be the file of"):
        files.find(NFC)


def test_two_links_to_one_file_are_one_file(tmp_path: Path) -> None:
    files = files_in(tmp_path, ["a.wav"], ["a"])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.wav").symlink_to(tmp_path / "a.wav")
    assert files.find("a") == tmp_path / "a.wav"


def test_a_file_that_libsndfile_reads_comes_before_its_source(tmp_path: Path) -> None:
    paths = [tmp_path / "a.m4a", tmp_path / "a.wav"]
    for path in paths:
        path.write_text(path.name)
    with pytest.warns(Note) as notes:
        assert only_file(paths, "a", tmp_path) == tmp_path / "a.wav"
    assert str(notes[0].message) == f"{tmp_path}: 'a.wav' is read as 'a', and 'a.m4a' is not."
    assert only_file(paths[:1], "a", tmp_path) == tmp_path / "a.m4a"


def test_the_files_can_be_sent_to_worker_processes(tmp_path: Path) -> None:
    files = files_in(tmp_path, ["a.wav"], ["a"])
    assert files.find("a") == pickle.loads(pickle.dumps(files)).find("a")


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("clap/-a.npz", "-a"),
        (f"{NFD}.npz", NFC),
        ("b.wav.npz", "b.wav"),
        ("b.npz", "b.wav"),
        ("25_c.npz", "2.5_c"),
        ("c.npz", None),
        ("-A.npz", None),
        ("._-a.npz", None),
        ("d.npz", None),
    ],
)
def test_a_file_has_an_id(name: str, own: str | None) -> None:
    ids = IdsByName(["-a", NFC, "b.wav", "2.5_c", "d.wav", "d.mp3"])
    assert ids.id_of(PurePath(name)) == own


@settings(max_examples=40)
@given(
    st.lists(st.text("aé\u0301.1Aü-_ ", min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(["", ".wav", ".WAV", ".mp4"]),
)
def test_ids_and_files_find_one_another(ids: list[str], end: str) -> None:
    """Reading files one by one gives the ids that looking them up gives, whatever the coding of letters."""
    ids = [f"{own}{end}" for own in dict.fromkeys(unicodedata.normalize("NFC", own) for own in ids)]
    by_name = IdsByName(ids)
    for own in ids:
        for form in ("NFC", "NFD"):
            assert by_name.id_of(PurePath(f"{unicodedata.normalize(form, own)}.npz")) == own
