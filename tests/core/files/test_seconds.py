from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError
from amrbench.files.labels import Remarks
from amrbench.files.seconds import TimeCells, read_seconds
from amrbench.notes import collected_notes


def read(*texts):
    """Return the seconds in the cells of a row, and the notes."""
    remarks = Remarks()
    names = [f"c{number}" for number in range(len(texts))]
    (values,) = read_seconds(TimeCells(Path("a.csv"), names, [(2, texts)]), remarks)
    with collected_notes() as notes:
        remarks.issue()
    return values, notes


def refusal(*texts):
    with pytest.raises(DataError) as error:
        read(*texts)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("0.5", 0.5), ("+1.5", 1.5), ("-1", -1), (".5", 0.5), ("1.", 1), ("1e-05", 1e-5)],
)
def test_plain_numbers(text, value):
    assert read(text) == ([value], [])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_python_writes_come_back(value):
    assert read(repr(value)) == ([value], [])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1_0",
            "nan",
            "inf",
            "-Infinity",
            "1e999",
            "\uff11.\uff15",
            "\u0661",
            "0x10",
            "1.5s",
            "1 000",
            "1'000",
        ),
        *("", "None", "1,2,3", "1.500,25", "1,500.25", "\u22121", "1/2", "#N/A"),
    ],
)
def test_other_texts_are_refused_with_line_and_value(text):
    assert refusal("1", text).startswith("a.csv, line 2: c1 is ")
    assert refusal("1", text).endswith(", not a number of seconds.")


@pytest.mark.parametrize("text", ["1:30", "00:01:30", "01:30.5", "0:01:30,250"])
def test_minutes_are_refused_with_the_remedy(text):
    assert refusal(text) == (
        f'a.csv, line 2: c0 is "{text}", not a number of seconds. Write minutes as seconds: 90 for 1:30.'
    )


def test_decimal_commas_are_read_with_a_note():
    assert read("0,500000", "12", "1,500") == (
        [0.5, 12, 1.5],
        ["a.csv, line 2: decimal commas are read as decimal points."],
    )


def test_commas_that_may_separate_thousands_are_refused():
    assert refusal("1,500", "12", "3,250") == (
        'a.csv, line 2: c0 is "1,500", and the comma may separate decimals or thousands. Write decimals with '
        "points."
    )


def test_points_and_commas_are_not_mixed():
    assert refusal("1,5", "12", "2.5") == (
        'a.csv, line 2: c0 is "1,5" and on line 2 c2 is "2.5". Write all decimals with points.'
    )


def test_mistakes_of_a_large_file_are_not_all_kept():
    rows = [(line, ("x",)) for line in range(5000)]
    with pytest.raises(DataError, match=r"a\.csv: at least 990 more mistakes\."):
        read_seconds(TimeCells(Path("a.csv"), ("start",), rows), Remarks())
