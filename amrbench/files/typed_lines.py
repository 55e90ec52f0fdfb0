"""Typed decoding of JSON Lines: many times faster than `jsonl.read_rows`, for files with nothing unusual.

What the two might read differently, and every mistake, is left to `read_rows`, which has the messages: the
functions return None then. That are repeated keys, numbers of 2^53 and more, NaN and infinity, lone
surrogates, byte order marks, compressed files, and line ends of old systems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
import numpy as np

from amrbench.files.file_kind import HEAD, file_kind
from amrbench.files.jsonl import collector_paused
from amrbench.types import Floats

T = TypeVar("T")
Keys = TypeVar("Keys", bound=msgspec.Struct)
Objects = list[dict[str, Any]]
Convert = Callable[[list[Keys], Objects], list[T] | None]
EXACT = 2.0**53
"""Whole numbers below are the same as integers and as floats, so that both compare alike."""
_OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def read_typed(data: bytes, line: type[Keys], convert: Convert[Keys, T]) -> list[T] | None:
    """Return the items of a file, or None if `read_rows` must read it.

    Args:
        data: The content of the file.
        line: The keys of a line that are used, and their types; further keys may be there.
        convert: Converts all lines, or returns None if a value is unusual. It is also given the whole objects
            if there are further keys, and an empty list otherwise.
    """
    if file_kind(data[:HEAD]) or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return None
    texts = [text for text in data.split(b"\n") if text]
    decode = msgspec.json.Decoder(line).decode
    with collector_paused():
        try:
            lines = [decode(text) for text in texts]
            objects = _objects(data, texts, lines)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return None if objects is None else convert(lines, objects) or None


def are_ids(values: Sequence[object]) -> bool:
    """Whether values are query ids of which no two are the same text; see `jsonl.id_fault`."""
    texts = [value for value in values if type(value) is str]
    return (
        {int, str}.issuperset(map(type, values))
        and are_texts(texts)
        and len(set(map(str, values))) == len(values)
    )


def are_texts(values: Sequence[str]) -> bool:
    """Whether texts can be written; see `jsonl.text_fault`. The decoder lets no lone surrogate pass."""
    return all(map(str.strip, values)) and "\0" not in "".join(values)


def window_table(windows: Sequence[Sequence[Sequence[float]]], width: int) -> Floats | None:
    """Return the windows (N, width) of all lines, or None if one ends before it starts or is too large."""
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(windows)), np.float64)
    table = flat.reshape(-1, width)
    exact = flat.min(initial=0) > -EXACT and flat.max(initial=0) < EXACT
    return table if exact and (table[:, 0] <= table[:, 1]).all() else None


def _objects(data: bytes, texts: list[bytes], lines: Sequence[msgspec.Struct]) -> Objects | None:
    """Return the objects of all lines, none if they have just the keys of `lines`; None if a key is repeated.

    Each key has a colon. So there are as many colons as keys and colons inside of texts, unless a key occurs
    twice, of which the decoder keeps one.
    """
    colons = data.count(b":")
    if colons == _count_keys(lines):
        return []
    if b"\\u003" in data:
        return None  # It may be a colon that is escaped.
    objects = [_OBJECT.decode(text) for text in texts]
    return objects if colons == sum(map(_colons, objects)) else None


def _count_keys(lines: Sequence[msgspec.Struct]) -> int:
    """Return how many keys of their type the lines have; only those with a default may be unset."""
    if not lines:
        return 0
    names = lines[0].__struct_fields__
    optional = names[len(names) - len(lines[0].__struct_defaults__) :]
    unset = sum(list(map(attrgetter(name), lines)).count(msgspec.UNSET) for name in optional)
    return len(names) * len(lines) - unset


def _colons(value: object) -> int:
    """Return the number of keys and of colons inside of texts in a decoded value."""
    if isinstance(value, dict):
        return sum(1 + key.count(":") + _colons(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_colons, value))
    return value.count(":") if isinstance(value, str) else 0
