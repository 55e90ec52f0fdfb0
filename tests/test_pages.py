"""The pages say what the code does, where that can be looked up."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
import yaml

from amrbench.cli import app
from amrbench.config.load import find
from amrbench.discovery import load_registry
from tests.folders import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shell_lines(page):
    """Return the lines of the shell blocks of a page that call amrbench, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line[1:] for line in lines if line and line[0].endswith("amrbench")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_have_the_options_they_are_given(page):
    for words in shell_lines(page):
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):
            assert words[0] in command.commands, f"{page.name}: amrbench {' '.join(words)}"
            command, words = command.commands[words[0]], words[1:]
        known = {option for each in command.params for option in each.opts}
        given = {word for word in words if word.startswith("-")}
        assert given <= known, f"{page.name}: {command.name} has no {', '.join(given - known)}"


def options_told():
    """Yield (part, option, value, as written) of the table of defaults."""
    page = (ROOT / "docs" / "components.md").read_text(encoding="utf-8")
    table = page.partition("## Where the defaults come from")[2].partition("\n## ")[0]
    for use, cells in re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", table, re.MULTILINE):
        for text in re.findall(r"`([a-z_]+: [^`]+)`", cells):
            yield use, *next(iter(yaml.safe_load(text).items())), text


def test_options_that_the_page_of_components_tells_are_defaults_or_stand_in_the_recipe():
    registry, recipe = load_registry(), find("recipe", "ours1").read_text(encoding="utf-8")
    parts = {use: registry.find(slot, use) for slot in registry.slots() for use in registry.names(slot)}
    told = [each for each in options_told() if each[1] in parts[each[0]].model_fields]
    assert len(told) >= 30, "where did the table go?"
    wrong = [
        f"{use}: {text}"
        for use, option, value, text in told
        if parts[use].model_fields[option].default != value and text not in recipe
    ]
    assert wrong == []
