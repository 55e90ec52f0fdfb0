"""What a pickle would make, read without making it: each class and function stands as its name.

No class or function is looked up and none is called. The outline finds the entry of a file that needs a class
which the restricted reader refuses.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

MOST_BYTES = 1 << 22
"""Of a pickle; weights and options need some 100 bytes for a tensor or an option."""
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_STEPS_OF_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_GETS = ("GET", "BINGET", "LONG_BINGET")
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_UNNAMED = ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
"""Opcodes whose class need not be named by a literal; torch never writes them."""


@dataclass(frozen=True)
class Named:
    """A class or function."""

    name: str


@dataclass(frozen=True, eq=False)
class Made:
    """What a class or function would make of its arguments."""

    parts: list[object] = field(default_factory=list)
    """The class or function, its arguments, and what is set afterwards."""


class Outline:
    """The names that a pickle uses, and a tree of what it would make."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Read a pickle; the stream is left at its end.

        Raises:
            ValueError: It is not a pickle, is too long, or hides the name of a class.
        """
        self.names: set[str] = set()
        self.tree: object = None
        self._memo: dict[object, object] = {}
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        complete = True
        start: int | None = None
        for opcode, argument, position in pickletools.genops(stream):
            start = position if start is None else start
            if (position or 0) - (start or 0) > MOST_BYTES:
                raise ValueError(f"its pickle is longer than {MOST_BYTES:,} bytes")
            if opcode.name in _UNNAMED:
                raise ValueError(f"the pickle uses {opcode.name}, which torch.save does not write")
            if opcode.name in ("GLOBAL", "INST"):
                self.names.add(_dotted(argument))
            try:
                complete = complete and self._follow(opcode.name, argument)
            except (IndexError, TypeError, KeyError, AttributeError):
                complete = False  # A pickle that nobody can read; its names are known all the same.
        self.tree = self._stack[-1] if complete and self._stack else None

    def paths(self) -> dict[str, str]:
        """Return the path of the first entry that needs a name, for all names that the tree has."""
        paths: dict[str, str] = {}
        for path, value in _walk(self.tree):
            if isinstance(value, Named):
                paths.setdefault(value.name, path)
        return paths

    def _follow(self, name: str, argument: Any) -> bool:
        """Follow an opcode; return False for one that torch does not write."""
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _STEPS_OF_TUPLES:
            count = _STEPS_OF_TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name in _PUTS:
            self._memo[argument] = stack[-1]
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name == "GLOBAL":
            stack.append(Named(_dotted(argument)))
        elif argument is not None and name != "PROTO":
            stack.append(argument)
        return name in _KNOWN or name in _ACTIONS or argument is not None

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _items(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _collect(self, kind: Callable[[list[Any]], object]) -> None:
        items = self._items()
        self._stack.append(kind(items))

    def _make(self) -> None:
        arguments, by = self._stack.pop(), self._stack.pop()
        self._stack.append(Made([by, *arguments]))

    def _build(self) -> None:
        state = self._stack.pop()
        if isinstance(self._stack[-1], Made):
            self._stack[-1].parts.append(state)

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        (target.parts if isinstance(target, Made) else target).extend(items)

    def _set(self, items: list[Any]) -> None:
        pairs = dict(zip(map(_key, items[::2]), items[1::2], strict=True))
        target = self._stack[-1]
        if isinstance(target, Made):
            target.parts.append(pairs)
        else:
            target.update(pairs)

    def _set_one(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _load(self) -> None:
        # The numbers of a tensor are in another file of the archive; here are their type and its name.
        self._stack[-1] = Made(list(self._stack[-1]))


_ACTIONS: Mapping[str, Callable[[Outline], object]] = {
    "EMPTY_LIST": lambda outline: outline._stack.append([]),
    "EMPTY_DICT": lambda outline: outline._stack.append({}),
    "EMPTY_SET": lambda outline: outline._stack.append(Made([])),
    "MARK": Outline._mark,
    "TUPLE": lambda outline: outline._collect(tuple),
    "LIST": lambda outline: outline._collect(list),
    "APPEND": lambda outline: outline._append([outline._stack.pop()]),
    "APPENDS": lambda outline: outline._append(outline._items()),
    "SETITEM": Outline._set_one,
    "SETITEMS": lambda outline: outline._set(outline._items()),
    "REDUCE": Outline._make,
    "NEWOBJ": Outline._make,
    "BUILD": Outline._build,
    "BINPERSID": Outline._load,
}
_KNOWN = frozenset({*_CONSTANTS, *_STEPS_OF_TUPLES, "STOP", "FRAME"})


def _dotted(argument: object) -> str:
    return str(argument).replace(" ", ".")


def _key(value: object) -> object:
    return value if isinstance(value, str | int | float) else repr(type(value))


def _walk(tree: object) -> Iterator[tuple[str, object]]:
    """Yield everything in a tree with its path; what occurs twice is yielded once."""
    seen: set[int] = set()
    waiting = [("", tree)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield path, value
        inside: list[tuple[str, object]] = []
        if isinstance(value, dict):
            inside = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, Made):
            inside = [(path, part) for part in value.parts]
        waiting += reversed(inside)
