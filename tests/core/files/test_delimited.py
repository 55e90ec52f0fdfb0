from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError
from amrbench.files.delimited import SEPARATORS, Columns, normalized, parse_table, separator_of
from amrbench.files.labels import Remarks
from amrbench.notes import collected_notes

PATH = Path("a.csv")
COLUMNS = Columns(
    ("name", "size", "kind"), ("name", "size"), {"size": ("length",)}, "It needs name and size."
)


def rows(text, **options):
    return list(parse_table(PATH, text, COLUMNS, **options).rows)


def refusal(text):
    with pytest.raises(DataError) as error:
        rows(text)
    return str(error.value)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_cells_are_separated_by_tabs_semicolons_or_commas(separator):
    text = f"Kind{separator} NAME {separator}Size\n\na{separator} b c {separator}1\n"
    assert rows(text) == [(3, ("b c", "1", "a"))]


@given(
    st.lists(st.tuples(*[st.text("ab ;,\"'\n\u2028", max_size=6)] * 2), min_size=1),
    st.sampled_from(list(SEPARATORS)),
)
def test_quoted_cells_come_back_with_the_line_they_begin_on(cells, separator):
    text, expected, line = f"name{separator}size\n", [], 2
    for row in cells:
        if any(cell.strip() for cell in row):
            expected.append((line, (row[0].strip(), row[1].strip(), "")))
        text += separator.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n"
        line = text.count("\n") + 1
    assert rows(text) == expected


def test_a_header_may_be_quoted_or_follow_the_separator_of_excel():
    assert rows('"name","size"\n"a, b","1"\n') == [(2, ("a, b", "1", ""))]
    assert rows("sep=;\nname;size\na,b;1\n") == [(3, ("a,b", "1", ""))]
    assert separator_of('"name","size"\n', COLUMNS.known) == (",", 2)


def test_unknown_columns_and_the_last_cells_of_them_may_be_missing():
    table = parse_table(PATH, "name,size,note\na,1\nb,2,x\n", COLUMNS)
    assert list(table.rows) == [(2, ("a", "1", "")), (3, ("b", "2", ""))]
    remarks = Remarks()
    table.remark_unread(COLUMNS.known, remarks)
    with collected_notes() as notes:
        remarks.issue()
    assert notes == ["a.csv: the columns 'note' are not read."]


def test_columns_without_a_name_are_read_over_with_a_remark():
    table = parse_table(PATH, ",name,size,,\n,x,1,,\n7,a,1,,\n", COLUMNS)
    remarks = Remarks()
    table.remark_unread(COLUMNS.known, remarks)
    with collected_notes() as notes:
        remarks.issue()
    assert notes == ["a.csv, line 3: cells in columns without a name are not read."]


def test_quotation_marks_are_letters_where_they_do_not_enclose_cells():
    assert rows('name\tsize\n"bark" loud\t1\n', quoted=False) == [(2, ('"bark" loud', "1", ""))]
    assert rows('name,size\na 5" pipe,1\n') == [(2, ('a 5" pipe', "1", ""))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": is empty. It needs name and size."),
        (
            "name,length\na,1\n",
            ": has no column size. It needs name and size. Its columns are 'name', 'length'. Rename 'length' "
            "to "
            "'size'.",
        ),
        (
            "nam,sice\n",
            ": has no column name, size. It needs name and size. Its columns are 'nam', 'sice'. Rename 'nam' "
            "to "
            "'name', 'sice' to 'size'.",
        ),
        (
            "name size\n",
            ": has no column name, size. It needs name and size. Its columns are 'name size'. Separate them "
            "by "
            "tabs, semicolons or commas.",
        ),
        ("name,size,Name\n", ": has the columns 'name' and 'Name'. Give each its own name."),
        (
            "name,size\na,1\n\nb,c,2\n",
            ', line 4: has the cell "2" under no column: it has 3 cells, and the header 2. Put a text or '
            "number "
            "that has commas in quotation marks.",
        ),
        ("name;size\na\n", ", line 2: has 1 of 2 cells, separated by semicolons."),
        (
            'name,size\na,1\nb,"2\n\n',
            ", line 3: the quotation marks do not fit (unexpected end of data). Close each mark, or double "
            "those "
            "inside a text.",
        ),
        (
            'name,size\n"a" b,1\n',
            ", line 2: the quotation marks do not fit (',' expected after '\"'). Close each mark, or double "
            "those "
            "inside a text.",
        ),
    ],
)
def test_what_is_no_such_table_is_refused(text, message):
    assert refusal(text) == f"a.csv{message}"


@pytest.mark.parametrize("mark", ["", '"'])
def test_a_cell_that_is_too_long_is_told_from_wrong_quotation_marks(mark):
    assert refusal(f"name,size\na,1\n{mark}{'b' * 131_073},2\n") == (
        "a.csv, line 3: a cell has more than 131,072 characters. Shorten it; if it begins with a quotation "
        "mark, close the mark."
    )


def test_wide_and_long_tables_take_little_time():
    assert refusal("name" + ",x" * 30_000 + "\n" + "a\n" * 30_000).startswith(
        "a.csv: has the columns 'x' and 'x'"
    )
    header = ",".join(f"x{number}" for number in range(30_000))
    assert len(rows(f"name,size,{header}\n" + "a,1\n" * 30_000)) == 30_000


def test_names_of_columns_are_compared_without_case_and_spaces():
    assert normalized("\u00a0Begin  TIME (s) ") == "begin time (s)"
