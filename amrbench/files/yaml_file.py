"""Read YAML files strictly, with the line of every value.

Plain YAML has traps: `no` reads as false and `12:30` as 750, the second of two equal keys wins silently, tags
run code, and aliases can be circular. Here a file may have mappings, lists, text, numbers, true, false and
null; everything else is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import ErrorDetails

from amrbench.errors import RecipeError, dotted

KeyPath = tuple[int | str, ...]

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
)
_WORDS = {"true": True, "false": False, "null": None, "": None, "~": None}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Mistake:
    """One mistake in a file."""

    line: int
    path: str
    """Keys and indices to the value, dotted; empty for the whole file."""
    text: str


@dataclass(frozen=True)
class Document:
    """The content of a file and the line of each value."""

    name: str
    data: Any
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Return the line of a value, or of the nearest value around it that is in the file."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error_of(self, errors: list[ErrorDetails]) -> RecipeError:
        """Return one error that lists pydantic's errors with their lines."""
        return mistakes_error(
            self.name,
            [Mistake(self.line(item["loc"]), dotted(item["loc"]), item["msg"]) for item in errors],
        )


def read_yaml(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        RecipeError: The file is missing, is not YAML, or has something that is refused here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Read YAML text; `name` is its name in messages. Raises as `read_yaml`."""
    reader = _Reader()
    try:
        # Composing comes second: it resolves aliases, which may be circular or grow without limit.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                reader.add_mistake(
                    event, (), f"the alias *{event.anchor} points elsewhere in the file; write the value out."
                )
        root = None if reader.mistakes else yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = f"this is not YAML: {getattr(error, 'problem', error)}."
        raise mistakes_error(name, [Mistake(mark.line + 1 if mark else 1, "", reason)]) from error
    data = reader.value(root, ()) if root else None
    if data is None and not reader.mistakes:
        reader.mistakes.append(Mistake(1, "", "the file is empty."))
    if reader.mistakes:
        raise mistakes_error(name, reader.mistakes)
    return Document(name, data, reader.lines)


def mistakes_error(name: str, mistakes: list[Mistake]) -> RecipeError:
    """Return one error for all mistakes of a file, in the order of its lines."""
    ordered = sorted(mistakes, key=lambda mistake: mistake.line)
    width = max(len(mistake.path) for mistake in ordered)
    digits = max(len(str(mistake.line)) for mistake in ordered)
    rows = [
        f"  line {mistake.line:<{digits}}  {mistake.path:<{width}}  {mistake.text}" for mistake in ordered
    ]
    count = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    return RecipeError(f"{name} has {count}\n\n" + "\n".join(rows))


class _Reader:
    """Converts nodes to plain values; collects the line of each value, and the mistakes."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.mistakes: list[Mistake] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """Return a mapping, list, number, true, false, None or text; `no` and `12:30` are text."""
        self.lines.setdefault(path, _line(node))
        if self.refuse_tag(node, path):
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        text: str = node.value
        if getattr(node, "style", None) in ("'", '"', "|", ">"):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _NUMBER.fullmatch(text) else text

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """Return a mapping whose keys are words, none of them repeated."""
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.add_mistake(key, path, "a key must be a word.")
                continue
            if self.refuse_tag(key, path):
                continue
            inner = (*path, key.value)
            if key.value in values:
                self.add_mistake(key, inner, f"this key is repeated (first on line {self.lines[inner]}).")
            self.lines.setdefault(inner, _line(key))
            values[key.value] = self.value(value, inner)
        return values

    def refuse_tag(self, node: yaml.Node, path: KeyPath) -> bool:
        """Refuse a merge key, or the tag of anything but a plain value; return whether it was refused."""
        refused = node.tag not in _PLAIN_TAGS
        if refused:
            self.add_mistake(node, path, f"the YAML tag {node.tag} is refused; write a plain value.")
        return refused

    def add_mistake(self, marked: yaml.Node | yaml.Event, path: KeyPath, text: str) -> None:
        """Add a mistake."""
        self.mistakes.append(Mistake(_line(marked), dotted(path), text))


def _line(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 1
