"""Read YAML files strictly and remember where each value stands.

YAML is not harmless: `no` reads as false, `12:30` as 750, a key given twice wins silently, tags name
code, and aliases can loop. Here a file holds mappings, lists, text, numbers, true, false and null; all
else is refused with its line.
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
    """One thing wrong in a file."""

    line: int
    place: str
    text: str


@dataclass(frozen=True)
class Document:
    """What a file says, and on which line it says it."""

    name: str
    data: Any
    lines: Mapping[KeyPath, int]

    def line(self, place: KeyPath) -> int:
        """Return the line of a place, or of the nearest one around it."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)

    def refuse(self, errors: list[ErrorDetails]) -> RecipeError:
        """Return one error that lists all mistakes with their lines."""
        return mistakes_error(
            self.name,
            [Mistake(self.line(each["loc"]), dotted(each["loc"]), each["msg"]) for each in errors],
        )


def read_yaml(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        RecipeError: the file is missing, is no YAML, or holds what is refused here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Read YAML text; `name` is used in messages."""
    lines: dict[KeyPath, int] = {}
    mistakes: list[Mistake] = []
    try:
        _refuse_aliases(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise mistakes_error(
            name, [Mistake(mark.line + 1 if mark else 1, "", f"this is no YAML: {error.problem}.")]
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise mistakes_error(name, [Mistake(1, "", f"this is no YAML: {error}.")]) from error
    data = _value(root, (), lines, mistakes) if root else None
    if mistakes:
        raise mistakes_error(name, mistakes)
    if data is None:
        raise mistakes_error(name, [Mistake(1, "", "the file is empty.")])
    return Document(name, data, lines)


def dotted(place: KeyPath) -> str:
    """Return a place as people write it.

    >>> dotted(("training", "losses", 1, "weight"))
    'training.losses.1.weight'
    """
    return ".".join(str(step) for step in place)


def mistakes_error(name: str, mistakes: list[Mistake]) -> RecipeError:
    """Return one error for all mistakes of a file, in the order of its lines."""
    ordered = sorted(mistakes, key=lambda each: each.line)
    width = max(len(each.place) for each in ordered)
    left = max(len(str(each.line)) for each in ordered)
    rows = [f"  line {each.line:<{left}}  {each.place:<{width}}  {each.text}" for each in ordered]
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


def _value(node: yaml.Node, place: KeyPath, lines: dict[KeyPath, int], mistakes: list[Mistake]) -> Any:
    lines.setdefault(place, _line(node))
    if _tagged(node):
        mistakes.append(_refused_tag(node, place))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, lines, mistakes)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*place, i), lines, mistakes) for i, each in enumerate(node.value)]
    return _scalar(node)


def _mapping(
    node: yaml.MappingNode, place: KeyPath, lines: dict[KeyPath, int], mistakes: list[Mistake]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            mistakes.append(Mistake(line, dotted(place), "a key must be a word."))
            continue
        if _tagged(key):
            mistakes.append(_refused_tag(key, place))
            continue
        inside = (*place, key.value)
        if key.value in found:
            first = lines[inside]
            mistakes.append(Mistake(line, dotted(inside), f"this key stands twice (first on line {first})."))
        lines.setdefault(inside, line)
        found[key.value] = _value(value, inside, lines, mistakes)
    return found


def _refused_tag(node: yaml.Node, place: KeyPath) -> Mistake:
    text = f"the YAML tag {node.tag} is refused; write a plain value."
    return Mistake(_line(node), dotted(place), text)


def _tagged(node: yaml.Node) -> bool:
    """Tell an explicit tag from the one that YAML finds by itself."""
    if node.tag == "tag:yaml.org,2002:merge":
        return True
    return not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rsplit(":", 1)[1] not in {
        *("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
    }


def _scalar(node: yaml.Node) -> Any:
    """Return a number, true, false, null or text; times, `no`, `off` and octals stay text."""
    text: str = node.value
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
