"""Read YAML files strictly, with the line of every value.

Plain YAML has traps: `no` reads as false and `12:30` as 750, the second of two equal keys wins silently, tags
run code, and aliases can be circular. Here a file may have mappings, lists, text, numbers, true, false and
null; everything else is refused with its line. Length, depth and number of values are limited: a small file
may ask for much time or memory.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import ErrorDetails

from amrbench.errors import DataError, RecipeError, dotted, unreadable
from amrbench.files.text_file import read_text

KeyPath = tuple[int | str, ...]

LONGEST = 100_000
"""Characters of a file; recipes have some 3,000."""
DEEPEST = 30
"""Mappings and lists around a value; recipes have some 10."""
MOST_VALUES = 5_000
"""Values, keys, mappings and lists of a file; recipes have some 300."""
SHOWN_MISTAKES = 20

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
)
_CONFLICT = re.compile(r"(<{7}|>{7})( |$)")
"""Begins a line where git could not merge two versions of a file."""
_LINE_ENDS = re.compile(r"[\u0085\u2028\u2029]")
"""End a line in YAML, but not in most editors."""
_UNSEEN = r"[\u00a0\u00ad\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u2064\u3000\ufeff]"
"""Look like a space or like nothing, but are letters in YAML."""
_INVISIBLE = re.compile(_UNSEEN)
_AT_EDGE = re.compile(rf"\A{_UNSEEN}|{_UNSEEN}\Z|(?<=:){_UNSEEN}")
_WIDEST = 4  # bytes of a character
_LONGEST_PATH, _LONGEST_TEXT = 100, 2000  # characters of a message
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
        size = path.stat().st_size
        if size > _WIDEST * LONGEST:
            raise _too_much(str(path), f"{size:,} bytes")
        text = read_text(path)
    except OSError as error:
        raise RecipeError(str(unreadable(path, error))) from error
    except DataError as error:
        raise RecipeError(str(error)) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Read YAML text; `name` is its name in messages. Raises as `read_yaml`."""
    reader = _Reader()
    if mistakes := list(_text_mistakes(text[:LONGEST])):
        raise mistakes_error(name, mistakes)
    try:
        # Composing comes second: it resolves aliases, which may be circular or grow without limit.
        for event in limited_events(text, name):
            if isinstance(event, yaml.AliasEvent):
                reader.add_mistake(
                    event, (), f"the alias *{event.anchor} points elsewhere in the file; write the value out."
                )
        root = None if reader.mistakes else yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        fault = getattr(error, "problem", error)
        reason = f"this is not YAML: {fault}.{_remedy(text, mark, str(fault))}"
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
    width = min(_LONGEST_PATH, max(len(mistake.path) for mistake in ordered))
    digits = max(len(str(mistake.line)) for mistake in ordered)
    rows = [
        f"  line {mistake.line:<{digits}}  {_cut(mistake.path, _LONGEST_PATH):<{width}}  "
        f"{_cut(mistake.text, _LONGEST_TEXT)}"
        for mistake in ordered[:SHOWN_MISTAKES]
    ]
    if len(ordered) > SHOWN_MISTAKES:
        rows.append(f"  and {len(ordered) - SHOWN_MISTAKES} more")
    count = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    return RecipeError(f"{name} has {count}\n\n" + "\n".join(rows))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def limited_events(text: str, name: str) -> Iterator[yaml.Event]:
    """Yield what the parser reads of a text; `name` is its name in messages.

    The parser takes time that grows with the square of the depth, so it is stopped on its way.

    Raises:
        RecipeError: The text is too long or too deep, or has too many values.
        YAMLError: It is not YAML.
    """
    if len(text) > LONGEST:
        raise _too_much(name, f"{len(text):,} characters")
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader), start=1):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            reason = f"mappings and lists are nested more than {DEEPEST} deep; no such file needs that."
            raise mistakes_error(name, [Mistake(line_of(event), "", reason)])
        if number > MOST_VALUES:
            raise _too_much(name, f"more than {MOST_VALUES:,} values")
        yield event


def _too_much(name: str, what: str) -> RecipeError:
    return RecipeError(
        f"{name} has {what}; at most {LONGEST:,} characters and {MOST_VALUES:,} values are read. "
        "Is this another file?"
    )


class _Reader:
    """Converts nodes to plain values; collects the line of each value, and the mistakes."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.mistakes: list[Mistake] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """Return a mapping, list, number, true, false, None or text; `no` and `12:30` are text."""
        self.lines.setdefault(path, line_of(node))
        if self.refuse_tag(node, path):
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        text: str = node.value
        if getattr(node, "style", None) in ("'", '"', "|", ">"):
            return text
        if invisible := _AT_EDGE.search(text):
            self.add_mistake(
                node, path, f"this value has {_called(invisible)}; delete it, or quote the value."
            )
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
            if invisible := _INVISIBLE.search(key.value):
                self.add_mistake(
                    key, path, f"this key has {_called(invisible)}; delete it, or use a plain space."
                )
            if key.value in values:
                self.add_mistake(key, inner, f"this key is repeated (first on line {self.lines[inner]}).")
            self.lines.setdefault(inner, line_of(key))
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
        self.mistakes.append(Mistake(line_of(marked), dotted(path), text))


def _text_mistakes(text: str) -> Iterator[Mistake]:
    """Yield what is wrong with lines before they are parsed: afterwards it would have other names."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _CONFLICT.match(line):
            yield Mistake(number, "", f"{line[:7]} is left from a conflict in git; keep one of the versions.")
        indentation = line[: len(line) - len(line.lstrip())]
        if invisible := _LINE_ENDS.search(line) or _INVISIBLE.search(indentation):
            yield Mistake(number, "", f"this line has {_called(invisible)}; use plain spaces and line feeds.")


def _called(character: re.Match[str]) -> str:
    """Return a character by its name and number in Unicode."""
    char = character[0]
    return f"the character {unicodedata.name(char, 'control')} (U+{ord(char):04X})"


def _remedy(text: str, mark: yaml.Mark | None, fault: str) -> str:
    """Return what to do about a line that cannot be parsed, where its characters or the fault say so."""
    lines = text.split("\n")
    near = "\n".join(lines[max(0, mark.line - 1) : mark.line + 1]) if mark else ""
    if invisible := _INVISIBLE.search(near):
        return f" This line or the one before has {_called(invisible)}; use a plain space."
    if "\t" in near:
        return " Indent with spaces, not with tabs."
    if not fault.startswith("mapping values are not allowed"):
        return ""
    if len(lines) == 1 and "{" not in text and len(text) <= _LONGEST_PATH:
        return f" Put the options in braces: '{{{text.strip()}}}'."
    return " Put options within a line in braces, '{use: NAME, ...}', and a text with ': ' in quotes."


def line_of(marked: yaml.Node | yaml.Event) -> int:
    """Return the line on which a node or event begins."""
    return marked.start_mark.line + 1 if marked.start_mark else 1
