"""Options that commands share: how tables are printed on terminals and into pipes, and observers."""

import json
import sys

import pytest
from rich.text import Text

from amrbench.cli.options import (
    Format,
    executor_of,
    observers_of,
    print_table,
    refuse_together,
    table_form,
)
from amrbench.discovery import load_registry
from amrbench.errors import RecipeError, RunError

ROWS = [{"name": "a", "about": "eight words that do not fit a line", "score": "0.5"}]
GITHUB = """\
| name   | about                              |   score |
|--------|------------------------------------|---------|
| a      | eight words that do not fit a line |     0.5 |
"""


def make_terminal(monkeypatch):
    """Make standard output a terminal of 24 columns."""
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_pipe_gets_markdown(capsys):
    print_table(ROWS, table_form(None))
    assert capsys.readouterr().out == GITHUB


def test_a_terminal_gets_a_table_of_its_width(monkeypatch, capsys):
    make_terminal(monkeypatch)
    print_table(ROWS, table_form(None))
    lines = Text.from_ansi(capsys.readouterr().out).plain.splitlines()
    assert lines[0].split() == ["name", "about", "score"]
    assert [len(line) for line in lines] == [24] * len(lines)
    assert "eight words that do not fit a line" in " ".join(" ".join(lines[2:]).split()).replace("0.5 ", "")


def test_a_format_that_is_asked_for_is_printed_on_a_terminal_too(monkeypatch, capsys):
    make_terminal(monkeypatch)
    print_table(ROWS, table_form(Format.github))
    assert capsys.readouterr().out == GITHUB
    print_table(ROWS, table_form(Format.json, as_json=True))
    assert json.loads(capsys.readouterr().out) == ROWS


def test_columns_whose_first_value_is_a_number_are_aligned_to_the_right(capsys):
    print_table([{"n": "1e-4", "text": "x"}, {"n": "none", "text": "2"}], "github")
    assert capsys.readouterr().out.splitlines()[2:] == ["| 1e-4 | x      |", "| none | 2      |"]


@pytest.mark.parametrize("form", ["github", "terminal"])
def test_a_table_without_rows_is_an_empty_line(capsys, form):
    print_table([], form)
    assert capsys.readouterr().out == "\n"


def test_observers_are_named_with_their_options():
    registry = load_registry()
    first, second = observers_of(["tensorboard", "{use: tensorboard, folder: logs}"], registry)
    assert (first.folder, second.folder) == ("tensorboard", "logs")
    assert observers_of(None, registry) == ()


def test_an_unknown_observer_is_refused_with_a_near_one():
    with pytest.raises(RecipeError) as refused:
        observers_of(["tensorbord"], load_registry())
    assert "--observe" in str(refused.value)
    assert "no observer part is called 'tensorbord'. Did you mean 'tensorboard'?" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{use:tensorboard}", "write a blank after the colon: 'use: tensorboard', not 'use:tensorboard'."),
        ("use: tensorboard, folder: x", "Put the options in braces: '{use: tensorboard, folder: x}'."),
        ("[x]", "name an observer part: '{use: NAME, ...}', or the bare name, not ['x']."),
        ("local", "'local' is an executor part, not an observer part."),
    ],
)
def test_options_that_are_written_wrong_are_refused_with_the_right_form(text, message):
    with pytest.raises(RecipeError) as refused:
        observers_of([text], load_registry())
    assert str(refused.value).startswith("--observe has 1 mistake\n")
    assert message in str(refused.value)


def test_an_executor_is_named_with_its_options():
    registry = load_registry()
    assert executor_of("local", registry).use == "local"
    assert executor_of(None, registry) is None


@pytest.mark.parametrize("form", [Format.github, Format.tsv, Format.latex])
def test_json_and_another_format_are_refused(form):
    with pytest.raises(RunError, match="^--json and --format cannot be given together. Leave one"):
        table_form(form, as_json=True)


def test_names_of_options_that_exclude_each_other_are_written_as_users_write_them():
    refuse_together(dry_run=True, executor=None, by="")
    with pytest.raises(RunError, match="^--dry-run and --by cannot be given together"):
        refuse_together(dry_run=True, executor=None, by="kind")
