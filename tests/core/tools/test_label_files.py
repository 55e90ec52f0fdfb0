from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.files.labels import Remarks
from amrbench.notes import collected_notes
from amrbench.tools.label_files import RecordingLengths, label_files, parse_label_files

LABEL = "0.5\t2.5\tbark\n"
RAVEN = "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation"


@pytest.fixture
def audio(tmp_path):
    """Return a folder with recordings of 12 s and 20 s."""
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "street.WAV", np.full(96, 0.1), 8, format="WAV")
    soundfile.write(folder / "road.flac", np.full(20_000, 0.1), 1000)
    return folder


def parsed(audio, texts, form=""):
    """Return vid, query, start, end and duration of labels in files, and the notes."""
    remarks = Remarks()
    labels = parse_label_files({Path(name): text for name, text in texts.items()}, audio, remarks, form=form)
    with collected_notes() as notes:
        remarks.issue()
    return [(label.vid, label.query, label.start, label.end, label.duration) for label in labels], notes


def refusal(audio, texts, form=""):
    with pytest.raises(DataError) as error:
        parsed(audio, texts, form)
    return str(error.value)


def test_a_label_file_is_about_the_recording_with_its_name(audio):
    assert parsed(audio, {"street.txt": LABEL, "road.TXT": "1\t2\ta car\n"}) == (
        [("street", "bark", 0.5, 2.5, 12.0), ("road", "a car", 1.0, 2.0, 20.0)],
        [],
    )


@pytest.mark.parametrize(
    "name",
    [
        *("street.txt.txt", "street.wav.txt", "street.Table.1.selections.txt", "street.labels.txt"),
        *("street.BirdNET.selection.table.txt", "street.BirdNET.results.txt"),
    ],
)
def test_usual_ends_of_names_are_left_out(audio, name):
    labels, notes = parsed(audio, {name: LABEL})
    assert labels == [("street", "bark", 0.5, 2.5, 12.0)]
    left_out = "the end of its name is left out to find the recording."
    assert notes == ([] if name == "street.wav.txt" else [f"{name} (for 'street'): {left_out}"])


def test_selection_tables_are_told_from_labels_by_their_header(audio):
    table = f"{RAVEN}\tBegin File\n1\t0.5\t2.5\tbark\troad.flac\n"
    assert parsed(audio, {"x.txt": table, "street.txt": LABEL})[0] == [
        ("road", "bark", 0.5, 2.5, 20.0),
        ("street", "bark", 0.5, 2.5, 12.0),
    ]
    assert refusal(audio, {"street.txt": table}, form="audacity").startswith(
        "street.txt, line 1: has 5 cells"
    )
    assert refusal(audio, {"street.txt": LABEL}, form="raven").startswith(
        "street.txt: has no column begin time (s), end time (s)."
    )


def test_label_files_about_one_recording_are_joined_with_a_note(audio):
    labels, notes = parsed(
        audio, {"street.txt": LABEL, "street.Table.1.selections.txt": f"{RAVEN}\n1\t3\t4\tx\n"}
    )
    assert [label[:2] for label in labels] == [("street", "bark"), ("street", "x")]
    assert notes[-1] == (
        "street.txt and street.Table.1.selections.txt: label files about one recording are joined."
    )


def test_files_without_labels_get_a_note(audio):
    assert parsed(audio, {"street.txt": "\n", "road.txt": f"{RAVEN}\n"}) == (
        [],
        ["street.txt; road.txt: has no labels."],
    )


def test_missing_recordings_are_refused_with_the_label(audio):
    assert refusal(audio, {"x/stret.txt": LABEL}).startswith(
        f"x/stret.txt, line 1: there is no recording 'stret' in {audio}. "
        "Name the label file like its recording.\n"
    )
    table = f"{RAVEN}\tBegin File\n1\t0.5\t2.5\tbark\tC:\\x\\lane.wav\n"
    assert refusal(audio, {"street.txt": table}) == (
        f"street.txt, line 2: there is no recording 'lane.wav' in {audio}."
    )
    assert refusal(audio / "x", {"street.txt": LABEL}) == (
        f"{audio}/x: there is no such folder. Name the folder of the recordings with --audio."
    )


def test_a_recording_in_place_of_its_folder_is_refused(audio):
    assert refusal(audio / "road.flac", {"road.txt": LABEL}) == (
        f"{audio}/road.flac: is a file. Name the folder of the recordings with --audio."
    )


def test_lengths_are_those_of_recordings(audio):
    lengths = RecordingLengths(audio, ["street", "road.wav", "lane"])
    assert [lengths.of(own, "here") for own in ("street", "road.wav")] == [12.0, 20.0]
    assert "road" in lengths
    assert "lane" not in lengths


def listed(folder):
    """Return the names of label files in a folder, and the notes."""
    remarks = Remarks()
    names = [file.name for file in label_files(folder, remarks)]
    with collected_notes() as notes:
        remarks.issue()
    return names, notes


def test_label_files_end_in_txt(tmp_path):
    for name in ("a.txt", "B.TXT", "._a.txt", ".DS_Store", "a.wav", "a.m4a"):
        (tmp_path / name).write_text("x")
    assert listed(tmp_path) == (["B.TXT", "a.txt"], [])
    (tmp_path / "c").write_text("x")
    (tmp_path / "more").mkdir()
    assert listed(tmp_path)[1] == [f"{tmp_path}: 'c', 'more' in it are not read; label files end in .txt."]


@pytest.mark.parametrize(
    ("name", "there"), [("street", "it has 'street'"), ("a.srt", "it has 'a.srt'"), (".a", "it is empty")]
)
def test_a_folder_without_label_files_is_refused(tmp_path, name, there):
    (tmp_path / name).write_text(LABEL)
    with pytest.raises(DataError) as error:
        listed(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: has no label files (*.txt); {there}. Label files are text with the names of their "
        "recordings "
        "and .txt at the end."
    )
