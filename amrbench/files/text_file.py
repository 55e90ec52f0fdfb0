"""Read text files as people bring them: with a byte order mark, in UTF-16, or compressed by gzip.

What is no text, or text in an encoding that cannot be told from others, is named and refused.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path

from amrbench.errors import DataError, unreadable
from amrbench.files.file_kind import HEAD, file_kind
from amrbench.notes import note

LARGEST_UNPACKED = 20_000_000
"""Bytes that a gzip file may unpack to by default: a small file may unpack to any size."""
_PACKED = ("archive", "Excel", "gzip", "bzip2", "xz", "Zstandard", "LZ4")
_GZIP = b"\x1f\x8b"
_MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),  # Begins like UTF-16.
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)


def read_text(path: Path, largest: int = LARGEST_UNPACKED) -> str:
    """Return the text of a file, without its byte order mark and with lines that end in a line feed.

    The text is UTF-8, or UTF-16 or UTF-32 with a byte order mark; gzip is recognised by the content.

    Args:
        path: The file.
        largest: Bytes that a gzip file may unpack to.

    Raises:
        DataError: The file cannot be read, is not text, has another encoding, or unpacks to more than
            `largest` bytes.
    """
    return decode_text(path, read_bytes(path), largest)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def decode_text(path: Path, data: bytes, largest: int = LARGEST_UNPACKED) -> str:
    """Return the text of a file from its content, as `read_text`: a pipe can be read only once."""
    if data.startswith(_GZIP):
        data = _unpacked(path, data, largest)
    text = _decoded(path, data)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _unpacked(path: Path, data: bytes, largest: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is a damaged gzip file ({error}). Copy it again.") from error
    if len(unpacked) > largest:
        raise DataError(
            f"{path}: is a gzip file that unpacks to more than {largest:,} bytes. Unpack it first."
        )
    return unpacked


def _decoded(path: Path, data: bytes) -> str:
    if kind := file_kind(data[:HEAD]):
        packed = any(word in kind for word in _PACKED)
        remedy = "Unpack it, or save tables as CSV." if packed else "Get the text file itself."
        raise DataError(f"{path}: is {kind}, and not plain text. {remedy}")
    for mark, encoding, name in _MARKED:
        if data.startswith(mark):
            try:
                text = data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: is damaged {name} text ({error.reason}). Save it as UTF-8."
                ) from None
            note(f"{path}: is {name} text and is read as such; most programs expect UTF-8.")
            return text
    if b"\0" in data:
        pairs = max(data[0::2].count(0), data[1::2].count(0))
        form = "UTF-16 text without a byte order mark" if 3 * pairs > len(data) else "not text (NUL bytes)"
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"{path}: is {form}, from line {line} on. Save it as UTF-8 text.")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _other_encoding(path, error) from None


def _other_encoding(path: Path, error: UnicodeDecodeError) -> DataError:
    data = error.object
    line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start : error.start + 1]
    letter = byte.decode("cp1252", "ignore")
    meaning = f", but {letter!r} in Windows-1252 (Latin-1)" if letter else ""
    return DataError(
        f"{path}, line {line}: the byte 0x{byte.hex()} is not UTF-8 text{meaning}. Save the file as UTF-8."
    )
