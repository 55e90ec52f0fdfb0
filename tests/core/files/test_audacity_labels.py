from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.audacity_labels import audacity_labels_text, parse_audacity_labels
from amrbench.files.labels import Label, Remarks
from amrbench.notes import collected_notes

PATH = Path("street.txt")


def read(text):
    """Return the labels, and the notes on them."""
    remarks = Remarks()
    labels = parse_audacity_labels(PATH, text, remarks)
    with collected_notes() as notes:
        remarks.issue()
    return labels, notes


def refusal(text):
    with pytest.raises(DataError) as error:
        read(text)
    return str(error.value)


def test_lines_are_labels():
    assert read("1.500000\t2.500000\ta dog\n\n4\t5\ta cat") == (
        [Label(PATH, 1, "", "a dog", 1.5, 2.5), Label(PATH, 3, "", "a cat", 4.0, 5.0)],
        [],
    )


def test_decimal_commas_are_read():
    assert read("0,500000\t2,500000\tbark\n") == (
        [Label(PATH, 1, "", "bark", 0.5, 2.5)],
        ["street.txt, line 1: decimal commas are read as decimal points."],
    )


def test_frequencies_of_labels_are_not_read():
    text = "1\t2\ta dog\n\\\t100.5\t2000\n3\t4\ta cat\n\\\t1\t2\n"
    labels, notes = read(text)
    assert [label.line for label in labels] == [1, 3]
    assert notes == ["street.txt, line 2; street.txt, line 4: frequencies of labels are not read."]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u0085", "\f", "\v", "\x1c"])
def test_characters_that_end_lines_elsewhere_stay_in_the_text(char):
    ((label,), _) = read(f"0.5\t2.5\tdog{char}barks\n")
    assert (label.query, label.line) == (f"dog{char}barks", 1)


@pytest.mark.parametrize("end", ["", "\t", "\t  "])
def test_labels_without_text_are_refused(end):
    assert refusal(f"0\t1\ta\n0.0\t2.7{end}\n") == (
        "street.txt, line 2: the label has no text. Write the sentence after its end, separated by a tab."
    )


@pytest.mark.parametrize(
    ("line", "cells"),
    [("1 2 a dog", "1 cell"), ("1,2,a dog", "1 cell"), ("1\t2\ta\tdog", "4 cells"), ("\\x", "1 cell")],
)
def test_lines_with_other_cells_are_refused(line, cells):
    assert refusal(f"\n{line}\n") == (
        f"street.txt, line 2: has {cells}, not start, end and text, separated by tabs."
    )


def test_times_must_be_numbers():
    assert refusal("0\tx\ta\n") == 'street.txt, line 1: end is "x", not a number of seconds.'


def test_labels_are_written_in_the_order_of_time():
    text = audacity_labels_text([(1.5, 2.25, "a dog"), (0.0, 60.0, "a\tcat\n  sings")])
    assert text == "0.000000\t60.000000\ta cat sings\n1.500000\t2.250000\ta dog\n"
    labels, notes = read(text)
    assert [(label.start, label.end, label.query) for label in labels] == [
        (0.0, 60.0, "a cat sings"),
        (1.5, 2.25, "a dog"),
    ]
    assert notes == []
