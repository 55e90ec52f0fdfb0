from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.annotation_table import parse_annotation_table
from amrbench.files.labels import Label, Remarks
from amrbench.notes import collected_notes

PATH = Path("a.csv")
HEADER = "vid,query,start,end,duration\n"


def read(text, *, audio=False):
    """Return the labels, and the notes on them."""
    remarks = Remarks()
    labels = parse_annotation_table(PATH, text, remarks, audio=audio)
    with collected_notes() as notes:
        remarks.issue()
    return labels, notes


def refusal(text, **options):
    with pytest.raises(DataError) as error:
        read(text, **options)
    return str(error.value)


def test_a_row_is_a_label_with_its_line():
    assert read(f'{HEADER}v,"a dog\nbarks",1.5,3,60\n\nw,a cat,0,1,30\n') == (
        [
            Label(PATH, 2, "v", "a dog\nbarks", 1.5, 3.0, 60.0),
            Label(PATH, 5, "w", "a cat", 0.0, 1.0, 30.0),
        ],
        [],
    )


def test_semicolons_with_decimal_commas():
    assert read("vid;query;start;end;duration\nv;a dog;1,5;3,5;60\n") == (
        [Label(PATH, 2, "v", "a dog", 1.5, 3.5, 60.0)],
        ["a.csv, line 2: decimal commas are read as decimal points."],
    )


def test_header_and_cells_may_have_spaces_upper_case_and_any_order():
    assert read("Duration, QID, Query ,VID, END, Start, note\n60, q1, a dog, v, 3.5, 1.5, x\n") == (
        [Label(PATH, 2, "v", "a dog", 1.5, 3.5, 60.0, "q1")],
        ["a.csv: the columns 'note' are not read."],
    )


def test_durations_may_come_from_the_recordings():
    text = "vid,query,start,end\nv,a dog,1,2\n"
    assert read(text, audio=True) == ([Label(PATH, 2, "v", "a dog", 1.0, 2.0)], [])
    assert refusal(text) == (
        "a.csv: has no column duration. It needs vid, query, start, end and duration, and may have qid; "
        "duration "
        "may be left out if --audio names the folder of the recordings. Its columns are 'vid', 'query', "
        "'start', 'end'."
    )


def test_names_of_columns_in_other_tables_are_named():
    assert refusal("filename\tonset\toffset\tevent_label\n").endswith(
        "Rename 'filename' to 'vid', 'event_label' to 'query', 'onset' to 'start', 'offset' to 'end'."
    )


def test_the_line_of_a_wrong_number_counts_line_breaks_in_cells():
    assert refusal(f'{HEADER}v,"a dog\nbarks",1.5,3.5,60\n\nv,a cat,x,3.5,60\n') == (
        'a.csv, line 5: start is "x", not a number of seconds.'
    )


@pytest.mark.parametrize("qid", ["7.0", "12.00"])
def test_ids_that_became_decimal_numbers_are_refused(qid):
    assert refusal(f"qid,{HEADER}{qid},v,a dog,1,2,60\n") == (
        f'a.csv, line 2: qid is "{qid}", a decimal number, as whole numbers become if some are missing. Give '
        "text or a whole number."
    )
