"""Changes of the bytes of a file, whatever it holds."""

import random
import re
import struct
from collections.abc import Callable

from tests.mutation.odd_values import NUMBERS, TEXTS

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


def position_in(content: bytes, rng: random.Random) -> int:
    """Return a position in a file; half of them are near its start or its end."""
    if len(content) < 2 * _NEAR or rng.random() < 0.5:
        return rng.randrange(len(content) + 1)
    return rng.choice((rng.randrange(_NEAR), len(content) - rng.randrange(_NEAR)))


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = position_in(content, rng)
    return start, min(len(content), start + int(2 ** rng.uniform(0, 12)))


def _overwritten(content: bytes, start: int, new: bytes) -> bytes:
    return content[:start] + new + content[start + len(new) :]


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[min(position_in(content, rng), len(changed) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(content: bytes, rng: random.Random) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff", b" ", b"A", b"9")) * (end - start) + content[end:]


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: position_in(content, rng)]


def insert_bytes(content: bytes, rng: random.Random) -> bytes:
    start = position_in(content, rng)
    return content[:start] + rng.randbytes(rng.choice((1, 2, 4, 100, 5000))) + content[start:]


def insert_text(content: bytes, rng: random.Random) -> bytes:
    start = position_in(content, rng)
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
    return _overwritten(content, position_in(content, rng), struct.pack(order + kind, number))


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
    start = position_in(content, rng)
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
