"""Changes of the values in JSON, YAML and tables."""

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.mutation.byte_changes import flip_bits, position_in, repeat_block
from tests.mutation.odd_values import NUMBERS, OTHERS, TEXTS


def _paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the keys and indices to everything in a tree of plain values."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def _at(tree: Any, path: tuple) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _odd_value(value: Any, rng: random.Random) -> Any:
    """Return another value in place of this one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    choices: list[Callable[[], Any]] = [
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(OTHERS),
        lambda: [value],
        lambda: {"use": value},
        lambda: str(value),
        lambda: [copy.deepcopy(value) for _ in range(rng.choice((2, 500)))],
    ]
    if number:
        choices += [
            lambda: rng.choice(NUMBERS),
            lambda: -value,
            lambda: value * rng.choice((10, 1e4, 1e9, 1e300)),
        ]
    if isinstance(value, str):
        choices += [
            lambda: value + rng.choice(TEXTS),
            lambda: value[:-1],
            lambda: value.upper(),
            lambda: value * 500,
        ]
    if isinstance(value, list):
        choices += [
            lambda: value[:-1],
            lambda: value + copy.deepcopy(value),
            lambda: value[::-1],
            lambda: [*value, None],
        ]
    if isinstance(value, dict):
        choices += [
            lambda: dict(list(value.items())[:-1]),
            lambda: value | {rng.choice(TEXTS): 1},
            lambda: list(value),
        ]
    return copy.deepcopy(rng.choice(choices)())  # No two places share a value, or a swap could make a circle.


def change_value(tree: Any, rng: random.Random) -> Any:
    """Return a tree of plain values with one thing in it changed."""
    path = rng.choice(list(_paths(tree)))
    if not path:
        return _odd_value(tree, rng)
    parent, key = _at(tree, path[:-1]), path[-1]
    kind = rng.randrange(10)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice((*TEXTS, *parent))] = parent.pop(key)
    elif kind == 2:
        other = rng.choice(list(_paths(tree)))
        if other and other[: len(path)] != path and path[: len(other)] != other:
            one, two = parent[key], _at(tree, other)
            parent[key], _at(tree, other[:-1])[other[-1]] = two, one
    else:
        parent[key] = _odd_value(parent[key], rng)
    return tree


def _changed_often(tree: Any, rng: random.Random) -> Any:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = change_value(tree, rng)
    return tree


def json_value(content: bytes, rng: random.Random) -> bytes:
    try:
        tree = json.loads(content)
    except ValueError:
        return flip_bits(content, rng)
    return _json(_changed_often(tree, rng), rng)


def json_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    index = rng.randrange(len(lines))
    try:
        tree = json.loads(lines[index])
    except ValueError:
        return repeat_block(content, rng)
    lines[index] = _json(_changed_often(tree, rng), rng)
    return b"\n".join(lines)


def _json(tree: Any, rng: random.Random) -> bytes:
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.8)
    if rng.random() < 0.05:
        text = text.replace('"', '"\\ud800', 1)
    if rng.random() < 0.05:
        key = re.search(r'"(\w+)":', text)
        text = text.replace("{", f'{{"{key[1]}": null, ', 1) if key else text
    return text.encode("utf-8", "surrogatepass")


def repeat_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    line = rng.choice(lines)
    return b"\n".join([*lines, *[line] * rng.choice((1, 2, 2000))])


def drop_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


def yaml_value(content: bytes, rng: random.Random) -> bytes:
    try:
        tree = yaml.safe_load(content)
        tree = _changed_often(tree, rng)
        return yaml.safe_dump(tree, sort_keys=False, default_flow_style=rng.random() < 0.3).encode()
    except (yaml.YAMLError, ValueError):
        return flip_bits(content, rng)


def yaml_trap(content: bytes, rng: random.Random) -> bytes:
    """Add something that YAML readers have trouble with."""
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(8)
    )
    traps = (
        *(
            bomb,
            b"a: &a [*a]\n",
            b"a: !!python/object/apply:os.system [id]\n",
            b"<<: {a: 1}\n",
            b"? [a, b]\n: 1\n",
        ),
        *(
            b"a: " + b"[" * 3000,
            b"a: " + b"{a: " * 2000,
            b"".join(b"%s- \n" % (b" " * i) for i in range(400)),
        ),
        *(
            b"".join(b"k%d: 1\n" % i for i in range(5000)),
            b"a: |\n" + b"  line\n" * 20000,
            b"%YAML 9.9\n---\na: 1\n",
        ),
        *(
            b"a: 1\n---\nb: 2\n",
            b"\ta: 1\n",
            b"a: 'open\n",
            b"a: \x85\n",
            b"a: " + b"'" * 3001,
            b"a:" + b" x" * 40000,
        ),
        *(
            b"- " * 3000,
            b"a: " + b"-" * 100000,
            b"? " * 2000,
            b"!" * 5000,
            b"&a " * 2000,
            b"a: " + b"9" * 60000,
        ),
    )
    trap = rng.choice(traps)
    return rng.choice((trap, trap + content, content + trap, content[: position_in(content, rng)] + trap))


def table_cell(content: bytes, rng: random.Random) -> bytes:
    """Change one cell of a table."""
    separator = b"\t" if b"\t" in content else b","
    lines = content.split(b"\n")
    index = rng.randrange(len(lines))
    cells = lines[index].split(separator)
    cell = rng.randrange(len(cells))
    new = rng.choice((*map(str, NUMBERS), *TEXTS)).encode()
    kind = rng.randrange(6)
    if kind == 0:
        del cells[cell]
    elif kind == 1:
        cells.insert(cell, new)
    elif kind == 2:
        cells[cell] = b'"' + cells[cell]
    else:
        cells[cell] = new
    lines[index] = separator.join(cells)
    return b"\n".join(lines)


def table_separator(content: bytes, rng: random.Random) -> bytes:
    separator = b"\t" if b"\t" in content else b","
    return content.replace(separator, rng.choice((b";", b"\t", b",", b" ", b"|", b"\0", b", ")))
