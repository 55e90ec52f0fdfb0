from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.labels import Label, Remarks
from amrbench.files.raven_table import is_raven_table, parse_raven_table
from amrbench.notes import collected_notes

PATH = Path("street.txt")
TIMES = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)")


def table(columns, *rows, separator="\t"):
    """Return the text of a table."""
    return "".join(separator.join(map(str, row)) + "\n" for row in [(*TIMES, *columns), *rows])


def read(text):
    """Return the labels, and the notes on them."""
    remarks = Remarks()
    labels = parse_raven_table(PATH, text, remarks)
    with collected_notes() as notes:
        remarks.issue()
    return labels, notes


def refusal(text):
    with pytest.raises(DataError) as error:
        read(text)
    return str(error.value)


def test_a_selection_has_a_row_for_each_view_and_is_one_label():
    text = table(
        ("Low Freq (Hz)", "Annotation"),
        (1, "Waveform 1", 1, 0.5, 2.5, 0, "bark"),
        (1, "Spectrogram 1", 1, 0.5, 2.5, 0, "bark"),
        (2, "Spectrogram 1", 1, 3, 4, 0, '"meow" loud'),
    )
    assert is_raven_table(text)
    assert read(text) == (
        [Label(PATH, 2, "", "bark", 0.5, 2.5), Label(PATH, 4, "", '"meow" loud', 3.0, 4.0)],
        [],
    )


def test_commas_may_separate_cells_or_decimals():
    text = table(("Annotation",), (1, "W", 1, "0.5", "2.5", '"bark, loud"'), separator=",")
    assert read(text)[0] == [Label(PATH, 2, "", "bark, loud", 0.5, 2.5)]
    labels, notes = read(table(("Annotation",), (1, "W", 1, "0,5", "2,5", "bark")))
    assert labels == [Label(PATH, 2, "", "bark", 0.5, 2.5)]
    assert notes == ["street.txt, line 2: decimal commas are read as decimal points."]


def test_times_of_several_recordings_count_from_the_beginning_of_each():
    text = table(
        ("Common Name", "Species Code", "Begin Path", "File Offset (s)"),
        (1, "S", 1, 0.5, 3.0, "Blackbird", "eurbla", "C:\\sound\\day.1\\street.wav", 0.5),
        (2, "S", 1, 60.1, 63.1, "Blackbird", "eurbla", "/data/road.flac", 0.1),
    )
    assert read(text) == (
        [
            Label(PATH, 2, "street.wav", "Blackbird", 0.5, 3.0),
            Label(PATH, 3, "road.flac", "Blackbird", 0.1, 3.1),
        ],
        ["street.txt: sentences are read from the column 'Common Name', not from 'Species Code'."],
    )


def test_several_recordings_without_offsets_are_refused():
    rows = [(number, "S", 1, 0.5, 3.0, "bark", f"{number}.wav") for number in (1, 2)]
    assert refusal(table(("Annotation", "Begin File"), *rows)) == (
        "street.txt: has selections in 2 recordings, but no column File Offset (s) with times that count "
        "from "
        "the beginning of each. Add it in Raven, and save the table again."
    )
    assert read(table(("Annotation", "Begin File"), rows[0]))[0][0].vid == "1.wav"


def test_a_selection_across_recordings_is_refused():
    row = (1, "S", 1, 0.5, 3.0, "bark", "a.wav", "b.wav")
    assert refusal(table(("Annotation", "Begin File", "End File"), row)) == (
        'street.txt, line 2: begins in "a.wav" and ends in "b.wav". Split the selection.'
    )


def test_rows_of_a_selection_that_differ_are_refused():
    rows = [(1, "W", 1, 0.5, end, "bark") for end in (2.5, 2.6)]
    assert refusal(table(("Annotation",), *rows)) == (
        "street.txt, line 3: selection 1 differs from that on line 2. Give each its own number."
    )


def test_rows_without_numbers_are_selections_of_their_own():
    rows = [("", "W", 1, 0.5, 2.5, text) for text in ("bark", "meow")]
    assert [label.query for label in read(table(("Annotation",), *rows))[0]] == ["bark", "meow"]


def test_missing_columns_are_refused():
    assert refusal(table(("Vocalization",), (1, "W", 1, 0.5, 2.5, "bark"))) == (
        "street.txt: has no column of annotations. Call it Annotation. Its columns are 'Selection', 'View', "
        "'Channel', 'Begin Time (s)', 'End Time (s)', 'Vocalization'."
    )
    assert refusal("Selection\tBegin Time (s)\tAnnotation\n1\t0.5\tbark\n") == (
        "street.txt: has no column end time (s). A Raven selection table needs Begin Time (s), End Time (s) "
        "and "
        "a column of annotations. Its columns are 'Selection', 'Begin Time (s)', 'Annotation'."
    )


def test_wrong_numbers_are_refused_with_their_column():
    assert refusal(table(("Annotation",), (1, "W", 1, "x", 2.5, "bark"))) == (
        'street.txt, line 2: Begin Time (s) is "x", not a number of seconds.'
    )


@pytest.mark.parametrize("text", ["", "0.5\t2.5\tbark\n", "vid,query,start,end\n"])
def test_other_texts_are_no_selection_tables(text):
    assert not is_raven_table(text)
