import pytest
from rich.text import Text

from amrbench.errors import RunError
from amrbench.evaluation.text_table import FORMS, format_table, refuse_unknown_format, table_body

ROWS = [{"name": "a", "count": 2, "score": 0.125}, {"name": "bcd", "count": 10, "score": 50.0}]


def test_text_is_left_numbers_are_right_and_floats_have_two_decimals():
    assert format_table("github", ["Heading."], ROWS).splitlines() == [
        "Heading.",
        "",
        "| name   |   count |   score |",
        "|--------|---------|---------|",
        "| a      |       2 |    0.12 |",
        "| bcd    |      10 |   50.00 |",
    ]


def test_columns_can_be_aligned():
    lines = format_table("github", [], ROWS, align=["right", "left", "left"]).splitlines()
    assert lines[3:] == ["|      a | 2       | 0.12    |", "|    bcd | 10      | 50.00   |"]


def test_bars_and_line_breaks_end_no_cell_in_markdown():
    row = format_table("github", [], [{"kind": "a|b\nc\r\nd", "count": 1}]).splitlines()[3:]
    assert row == [r"| a\|b<br>c<br>d |       1 |"]


@pytest.mark.parametrize(("form", "mark"), [("tsv", "# "), ("latex", "% ")])
def test_a_heading_is_a_comment_where_the_format_has_comments(form, mark):
    lines = format_table(form, ["One.", "Two."], ROWS).splitlines()
    assert lines[:2] == [f"{mark}One.", f"{mark}Two."]


def test_an_unknown_format_names_the_known_ones():
    for form in FORMS:
        refuse_unknown_format(form)
    with pytest.raises(RunError) as error:
        refuse_unknown_format("githup")
    assert str(error.value) == (
        "there is no table format 'githup'. Did you mean 'github'? Use github, tsv, latex, json."
    )


def test_cells_wrap_to_the_width_of_the_terminal_and_lose_nothing(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = "a long description [with markup] :smile: and a_word_that_is_longer_than_the_line_of_the_terminal"
    table = format_table("terminal", ["Heading."], [{"name": "a", "about": text, "score": 0.5}])
    lines = Text.from_ansi(table).plain.splitlines()
    assert lines[:2] == ["Heading.", ""]
    assert lines[2].split() == ["name", "about", "score"]
    assert all(len(line) <= 30 for line in lines)
    about = "".join(line.removeprefix("a").replace("0.50", "") for line in lines[4:])
    assert "".join(about.split()) == "".join(text.split())


def test_a_table_without_rows_is_empty():
    assert table_body("github", [], []) == ""
    assert table_body("terminal", [], []) == ""
