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
    commands = [command for block in blocks for line in block.splitlines() for command in line.split("&&")]
    words = [shlex.split(command, comments=True) for command in commands]
    return [command[1:] for command in words if command and command[0].endswith("amrbench")]


def test_commands_are_found():
    assert ["run", "recipes/ours3.yaml"] in shell_lines(ROOT / "README.md")


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


def documented_options():
    """Yield (part, option, value, as written) of the table of defaults."""
    page = (ROOT / "docs" / "components.md").read_text(encoding="utf-8")
    table = page.partition("## Where the defaults come from")[2].partition("\n## ")[0]
    for use, cells in re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", table, re.MULTILINE):
        for text in re.findall(r"`([a-z_]+: [^`]+)`", cells):
            yield use, *next(iter(yaml.safe_load(text).items())), text


def test_documented_options_are_defaults_or_in_the_recipe():
    registry, recipe = load_registry(), find("recipe", "ours1").read_text(encoding="utf-8")
    parts = {use: registry.find(slot, use) for slot in registry.slots() for use in registry.names(slot)}
    documented = [row for row in documented_options() if row[1] in parts[row[0]].model_fields]
    assert len(documented) >= 30, "where did the table go?"
    wrong = [
        f"{use}: {text}"
        for use, option, value, text in documented
        if parts[use].model_fields[option].default != value and text not in recipe
    ]
    assert wrong == []
