"""Changes of the content of files: of their bytes, and of the values in JSON, YAML and tables."""

import copy
import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import yaml

TEXTS = (
    *(
        "",
        " ",
        "-",
        "a" * 5000,
        "NaN",
        "inf",
        "-1",
        "0",
        "1e999",
        "1e-999",
        "9" * 5000,
        "0x10",
        "1_000",
        "1,5",
    ),
    *(
        "..",
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "a/b",
        "a\\b",
        "~",
        "~root",
        "CON",
        "a\0b",
        "\ufeff",
        "\u2028",
    ),
    *(
        "\u202etxt",
        "e\u0301",
        "\u00e9",
        "\U0001f415",
        "\x1b[31m",
        "%s%n",
        "{0}",
        "${HOME}",
        "$(id)",
        "!!python/x",
    ),
    *(
        "null",
        "true",
        "no",
        "12:30",
        "2001-01-01",
        "*a",
        "&a",
        "[",
        "{",
        "'",
        '"',
        "#",
        "\t",
        "\r\n",
        "-x",
        "--help",
    ),
)
NUMBERS = (
    *(
        0,
        -0.0,
        1,
        -1,
        2,
        3,
        7,
        0.1,
        0.999,
        1.0001,
        -0.5,
        1e-9,
        1e-300,
        5e-324,
        255,
        256,
        65536,
        2**31 - 1,
        2**31,
    ),
    *(
        2**32,
        2**53 + 1,
        2**63 - 1,
        2**63,
        2**64,
        10**9,
        10**12,
        10**20,
        10**400,
        1e9,
        1e38,
        3.5e38,
        1e300,
        1e308,
    ),
    *(float("inf"), float("-inf"), float("nan")),
)
OTHERS = (None, True, False, [], {}, [[]], [{}], {"": None}, [None], {"use": ""}, {"use": []}, [0] * 3000)
_INTEGERS = (
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**40,
    2**62,
    2**63,
    2**64 - 1,
)
_NEAR = 200
"""Bytes at the start and the end of a file where its headers and directories are."""

Change = Callable[[bytes, random.Random], bytes]


def mutate(content: bytes, name: str, rng: random.Random) -> tuple[str, bytes]:
    """Return what was changed, and the changed content of a file of this name."""
    of_values = next((changes for suffixes, changes in BY_SUFFIX if name.endswith(suffixes)), BYTES)
    first = rng.choice(list(of_values if rng.random() < 0.7 else BYTES))
    others = rng.choices(list(BYTES), k=rng.randint(1, 3)) if rng.random() < 0.25 else []
    for chosen in (first, *others):
        content = (BYTES | of_values)[chosen](content, rng)
    return " + ".join((first, *others)), content


# ---------------------------------------------------------------- bytes


def _position(content: bytes, rng: random.Random) -> int:
    """Return a position in a file; half of them are near its start or its end."""
    if len(content) < 2 * _NEAR or rng.random() < 0.5:
        return rng.randrange(len(content) + 1)
    return rng.choice((rng.randrange(_NEAR), len(content) - rng.randrange(_NEAR)))


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = _position(content, rng)
    return start, min(len(content), start + int(2 ** rng.uniform(0, 12)))


def _overwritten(content: bytes, start: int, new: bytes) -> bytes:
    return content[:start] + new + content[start + len(new) :]


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[min(_position(content, rng), len(changed) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(content: bytes, rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff", b" ", b"A", b"9")) * (end - start) + content[end:]


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: _position(content, rng)]


def insert_bytes(content: bytes, rng: random.Random) -> bytes:
    start = _position(content, rng)
    return content[:start] + rng.randbytes(rng.choice((1, 2, 4, 100, 5000))) + content[start:]


def insert_text(content: bytes, rng: random.Random) -> bytes:
    start = _position(content, rng)
    return content[:start] + rng.choice(TEXTS).encode() + content[start:]


def delete_block(content: bytes, rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + content[end:]


def repeat_block(content: bytes, rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 10, 500)) + content[end:]


def move_block(content: bytes, rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    rest = content[:start] + content[end:]
    target = rng.randrange(len(rest) + 1)
    return rest[:target] + content[start:end] + rest[target:]


def set_integer(content: bytes, rng: random.Random) -> bytes:
    size, order = rng.choice((1, 2, 4, 8)), rng.choice("<>")
    kind = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    number = rng.choice(_INTEGERS) % 2 ** (8 * size)
    return _overwritten(content, _position(content, rng), struct.pack(order + kind, number))


def set_digits(content: bytes, rng: random.Random) -> bytes:
    runs = [match.span() for match in re.finditer(rb"\d+(\.\d+)?", content)]
    if not runs:
        return content
    start, end = rng.choice(runs)
    return content[:start] + str(rng.choice(NUMBERS)).encode() + content[end:]


def set_octal(content: bytes, rng: random.Random) -> bytes:
    """Change a number of an archive's header, which tar writes as octal digits."""
    runs = [match.span() for match in re.finditer(rb"[0-7]{7,11}", content)]
    if not runs:
        return content
    start, end = rng.choice(runs)
    number = rng.choice((b"7" * 11, b"0" * 11, b"77777777777", b"-1", b"\x80" + b"\xff" * 10))
    return content[:start] + number.ljust(end - start, b"7")[: end - start] + content[end:]


def append_bytes(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice((b"\0" * 1000, rng.randbytes(300), b"\n", content, b"PK\5\6" + bytes(18)))


def prepend_bytes(content: bytes, rng: random.Random) -> bytes:
    return (
        rng.choice((b"\xef\xbb\xbf", b"\0", b"\n", b"PK\3\4", b"\xff\xfe", b"%", b"ID3\4\0\0\0\0\0\0"))
        + content
    )


def replace_all(content: bytes, rng: random.Random) -> bytes:
    magic = (
        b"",
        b"\0",
        b"\n",
        b"PK\5\6" + bytes(18),
        b"\x93NUMPY",
        b"\x89HDF\r\n\x1a\n",
        b"RIFF",
        b"\x1f\x8b",
    )
    texts = (b"{}", b"[]", b"null", b"0", b"a", b"---", b"[" * 100000, b'{"a":' * 50000, b"- " * 30000)
    more = (
        b"version https://git-lfs.github.com/spec/v1\n",
        b"<!DOCTYPE html><html></html>",
        rng.randbytes(2000),
    )
    return rng.choice(magic + texts + more)


def other_encoding(content: bytes, rng: random.Random) -> bytes:
    return content.decode("latin-1").encode(rng.choice(("utf-16", "utf-32", "utf-8")))


def other_line_ends(content: bytes, rng: random.Random) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b" ", b"", b"\0", "\u2028".encode())))


def long_line(content: bytes, rng: random.Random) -> bytes:
    start = _position(content, rng)
    return (
        content[:start]
        + rng.choice((b"a", b" ", b"[", b"9", b"\t", b"'", b"- ", b"a: ")) * 60000
        + content[start:]
    )


BYTES: dict[str, Change] = {
    change.__name__: change
    for change in (
        *(flip_bits, set_bytes, truncate, insert_bytes, insert_text, delete_block, repeat_block, move_block),
        *(set_integer, set_digits, set_octal, append_bytes, prepend_bytes, replace_all),
        *(other_encoding, other_line_ends, long_line),
    )
}

# ---------------------------------------------------------------- values


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
    return rng.choice((trap, trap + content, content + trap, content[: _position(content, rng)] + trap))


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


_LINES = {change.__name__: change for change in (repeat_line, drop_line, swap_lines)}
_JSON_LINES = {"json_line": json_line, **_LINES}
_YAML = {"yaml_value": yaml_value, "yaml_trap": yaml_trap}
_TABLE = {"table_cell": table_cell, "table_separator": table_separator, **_LINES}
BY_SUFFIX: tuple[tuple[tuple[str, ...], dict[str, Change]], ...] = (
    ((".json",), {"json_value": json_value}),
    ((".jsonl",), _JSON_LINES),
    ((".yaml",), _YAML),
    ((".csv", ".tsv", ".txt"), _TABLE),
)
"""Changes of values, by the suffixes of the files that have them."""
