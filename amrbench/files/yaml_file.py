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

from amrbench.errors import RecipeError

KeyPath = tuple[int | str, ...]

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

    def refuse(self, errors: list[ErrorDetails]) -> RecipeError:
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
    lines: dict[KeyPath, int] = {}
    mistakes: list[Mistake] = []
    try:
        _refuse_aliases(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise mistakes_error(
            name, [Mistake(mark.line + 1 if mark else 1, "", f"this is not YAML: {error.problem}.")]
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise mistakes_error(name, [Mistake(1, "", f"this is not YAML: {error}.")]) from error
    data = _value(root, (), lines, mistakes) if root else None
    if mistakes:
        raise mistakes_error(name, mistakes)
    if data is None:
        raise mistakes_error(name, [Mistake(1, "", "the file is empty.")])
    return Document(name, data, lines)


def dotted(path: KeyPath) -> str:
    """Return the path of a value as text.

    >>> dotted(("training", "losses", 1, "weight"))
    'training.losses.1.weight'
    """
    return ".".join(str(step) for step in path)


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


def _line(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 1


def _refuse_aliases(text: str, name: str) -> None:
    mistakes = [
        Mistake(
            _line(event), "", f"the alias *{event.anchor} points elsewhere in the file; write the value out."
        )
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.AliasEvent)
    ]
    if mistakes:
        raise mistakes_error(name, mistakes)


def _value(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], mistakes: list[Mistake]) -> Any:
    lines.setdefault(path, _line(node))
    if _tagged(node):
        mistakes.append(_refused_tag(node, path))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, mistakes)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines, mistakes) for index, item in enumerate(node.value)]
    return _scalar(node)


def _mapping(
    node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], mistakes: list[Mistake]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in node.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            mistakes.append(Mistake(line, dotted(path), "a key must be a word."))
            continue
        if _tagged(key):
            mistakes.append(_refused_tag(key, path))
            continue
        inner = (*path, key.value)
        if key.value in values:
            first = lines[inner]
            mistakes.append(Mistake(line, dotted(inner), f"this key is repeated (first on line {first})."))
        lines.setdefault(inner, line)
        values[key.value] = _value(value, inner, lines, mistakes)
    return values


def _refused_tag(node: yaml.Node, path: KeyPath) -> Mistake:
    text = f"the YAML tag {node.tag} is refused; write a plain value."
    return Mistake(_line(node), dotted(path), text)


def _tagged(node: yaml.Node) -> bool:
    """Whether a node has an explicit tag of something else than a plain value, or is a merge key."""
    if node.tag == "tag:yaml.org,2002:merge":
        return True
    return not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rsplit(":", 1)[1] not in {
        *("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
    }


def _scalar(node: yaml.Node) -> Any:
    """Return a number, true, false, None or text; times, `no`, `off` and octals are text."""
    text: str = node.value
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
