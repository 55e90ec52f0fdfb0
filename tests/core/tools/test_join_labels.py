from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.labels import Label, Remarks
from amrbench.notes import collected_notes
from amrbench.tools.join_labels import join_labels, plain_vid
from amrbench.types import Query

PATH = Path("a.csv")


def labelled(*rows, duration=60.0):
    """Return labels of rows (vid, query, start, end and, optionally, qid and duration) on lines 2, 3 and so "
    "on."""
    labels = []
    for line, (vid, query, start, end, *more) in enumerate(rows, start=2):
        qid, own = [*more, *["", duration][len(more) :]]
        labels.append(Label(PATH, line, vid, query, start, end, own, qid))
    return labels


def joined(*rows):
    """Return the queries of rows, and the notes on them."""
    remarks = Remarks()
    queries = join_labels(labelled(*rows), remarks)
    with collected_notes() as notes:
        remarks.issue()
    return queries, notes


def refusal(*rows):
    with pytest.raises(DataError) as error:
        joined(*rows)
    return str(error.value)


def test_labels_that_differ_in_their_windows_are_one_query():
    assert joined(
        ("a", "a dog", 5, 6.5), ("a", "a cat", 1, 2), ("b", "a dog", 0, 1), ("a", "a dog", 1, 2)
    ) == (
        [
            Query("a_1", "a dog", "a", 60.0, ((1, 2), (5, 6.5))),
            Query("a_2", "a cat", "a", 60.0, ((1, 2),)),
            Query("b_1", "a dog", "b", 60.0, ((0, 1),)),
        ],
        [],
    )
    assert joined() == ([], [])


def test_queries_with_ids_keep_them():
    queries, _ = joined(("a", "a dog", 5, 6, "q"), ("a", "a dog", 1, 2, "q"), ("a", "a dog", 1, 2, "r"))
    assert [(query.qid, query.windows) for query in queries] == [("q", ((1, 2), (5, 6))), ("r", ((1, 2),))]


def test_a_window_that_is_there_twice_is_read_once_with_a_note():
    ((query,), notes) = joined(("a", "a dog", 5, 6), ("a", "a dog", 1, 2), ("a", "a dog", 5, 6))
    assert query.windows == ((1, 2), (5, 6))
    assert notes == ["a.csv, line 4 (as line 2): the window of the query is there already, and is read once."]


def test_moments_without_length_or_outside_of_the_recording_get_a_note():
    queries, notes = joined(
        ("a", "a dog", 5, 5), ("a", "a cat", 59, 61), ("a", "a cow", 59, 61.5), ("a", "a hen", 60, 60.5)
    )
    assert len(queries) == 4
    assert notes == [
        "a.csv, line 2: the moment has no length: its end is its start.",
        "a.csv, line 4; a.csv, line 5: the moment is not inside its recording.",
    ]


def test_composed_and_decomposed_letters_are_the_same():
    queries, notes = joined(("ch\u00e2", "cafe\u0301", 1, 2), ("cha\u0302", "caf\u00e9", 3, 4))
    assert queries == [Query("ch\u00e2_1", "cafe\u0301", "ch\u00e2", 60.0, ((1, 2), (3, 4)))]
    assert notes == [
        "a.csv, line 3, vid 'ch\u00e2'; a.csv, line 3, query 'cafe\u0301': is spelled with composed and with "
        "decomposed letters, and is read as the same."
    ]


def test_one_spelling_alone_is_kept():
    ((query,), notes) = joined(("cha\u0302", "cafe\u0301", 1, 2))
    assert (query.vid, query.query, notes) == ("cha\u0302", "cafe\u0301", [])


@pytest.mark.parametrize(
    ("vid", "plain"),
    [
        ("street.wav", "street"),
        ("street.WAV", "street"),
        ("street.m4a", "street"),
        ("day/street.flac", "street"),
        ("C:\\day\\street", "street"),
        ("2.5_street", "2.5_street"),
        ("a\u0302", "a\u0302"),
        ("..", ".."),
    ],
)
def test_ids_have_no_folder_and_no_suffix(vid, plain):
    assert plain_vid(vid) == plain


def test_names_of_files_become_ids_with_a_note():
    queries, notes = joined(
        ("x/street.wav", "a dog", 1, 2), ("street", "a dog", 3, 4), ("x/street.wav", "a", 1, 2)
    )
    assert [(query.vid, query.windows) for query in queries] == [
        ("street", ((1, 2), (3, 4))),
        ("street", ((1, 2),)),
    ]
    assert notes == [
        "a.csv, line 2, vid 'x/street.wav': folder and suffix of the file are left out of the id."
    ]


def test_names_of_files_that_would_have_one_id_are_refused():
    assert refusal(("a.wav", "a dog", 1, 2), ("a.flac", "a dog", 1, 2)) == (
        "a.csv, line 3: vid 'a.flac' and 'a.wav' on line 2 differ in folder or suffix alone, which ids do "
        "not "
        "have. Give them different names."
    )


def test_ids_that_differ_in_upper_case_get_a_note():
    queries, notes = joined(("street", "a dog", 1, 2), ("Street", "a dog", 1, 2))
    assert len(queries) == 2
    assert notes == [
        "a.csv, line 2, vid 'street' and 'Street' on line 3: the ids differ in upper case alone, and are "
        "read as "
        "two recordings."
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("a", "", 1, 2), "the label has no text. Write the sentence that describes the moment."),
        (("", "a dog", 1, 2), "vid is blank. Give the name of the recording."),
        (("..", "a dog", 1, 2), 'vid: id ".." cannot be the name of a file; '),
        (("a", "a dog", 1, 2, "x/y"), 'qid: id "x/y" cannot be the name of a file; '),
        (("a", "a dog", -0.5, 2), "start is -0.5, before the recording."),
        (("a", "a dog", 5, 2), "end is 2, before the start, 5."),
        (
            ("a", "a dog", 1, 2, "", 0.0),
            "duration is 0. Give the length of the recording in seconds, above 0.",
        ),
    ],
)
def test_wrong_labels_are_refused_with_their_line(row, fault):
    assert refusal(row).startswith(f"a.csv, line 2: {fault}")


def test_labels_that_contradict_each_other_are_refused_with_both_lines():
    assert refusal(("a", "a dog", 1, 2, "q", 60.0), ("a", "a cat", 1, 2, "q", 60.5), ("b", "a", 1, 2)) == (
        "a.csv, line 3: the duration of 'a' is 60.5, and 60 on line 2. Give one.\n"
        "a.csv, line 3: the qid 'q' is that of another query on line 2. Give each its own.\n"
        "a.csv, line 4: has no qid, and others have one. Give all queries a qid, or none."
    )
