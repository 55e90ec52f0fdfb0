import contextlib
import gzip

import pytest

from amrbench.errors import DataError
from amrbench.files.text_file import LARGEST_UNPACKED, read_text
from amrbench.notes import Note

TEXT = "vid,query\nchâteau,a \u2028 dog\n"


def written(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    return path


def refusal(path):
    with pytest.raises(DataError) as error:
        read_text(path)
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_reads_the_same_in_any_form(tmp_path, encoding, end, pack):
    assert read_text(written(tmp_path, pack(TEXT.replace("\n", end).encode(encoding)))) == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_with_a_mark_is_read_with_a_note(tmp_path, encoding):
    path = written(tmp_path, f"\ufeff{TEXT}".encode(encoding))
    name = encoding[:6].upper()
    with pytest.warns(Note, match=f"a.csv: is {name} text and is read as such; most programs expect UTF-8."):
        assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            TEXT.encode("latin-1", "replace"),
            ", line 2: the byte 0xe2 is not UTF-8 text, but 'â' in Windows-1252 (Latin-1). Save the file as "
            "UTF-8.",
        ),
        (b"a\n\nb\x81", ", line 3: the byte 0x81 is not UTF-8 text. Save the file as UTF-8."),
        (
            "a dog\n".encode("utf-16-le"),
            ": is UTF-16 text without a byte order mark, from line 1 on. Save it as UTF-8 text.",
        ),
        (b"a dog\n" + bytes(3), ": is not text (NUL bytes), from line 2 on. Save it as UTF-8 text."),
        (b"\xff\xfea", ": is damaged UTF-16 text (truncated data). Save it as UTF-8."),
        (b"PAR1", ": is a Parquet file, and not plain text. Get the text file itself."),
        (
            gzip.compress(b"PK\x03\x04", mtime=0),
            ": is a ZIP archive (Excel and LibreOffice files are such archives), and not plain text. Unpack "
            "it, or save tables as CSV.",
        ),
        (
            gzip.compress(b"a", mtime=0)[:-9],
            ": is a damaged gzip file (Compressed file ended before the end-of-stream marker was reached). "
            "Copy it again.",
        ),
    ],
)
def test_other_files_are_named(tmp_path, data, message):
    assert refusal(written(tmp_path, data)) == message


def test_no_damage_to_a_gzip_file_changes_its_text(tmp_path):
    whole = gzip.compress(TEXT.encode() * 20)
    for position in range(2, len(whole)):
        data = bytearray(whole)
        data[position] ^= 0xFF
        path = written(tmp_path, bytes(data))
        with contextlib.suppress(DataError):
            assert read_text(path) == TEXT * 20


def test_a_gzip_file_may_not_unpack_without_limit(tmp_path):
    assert refusal(written(tmp_path, gzip.compress(bytes(LARGEST_UNPACKED + 1), 1))) == (
        ": is a gzip file that unpacks to more than 20,000,000 bytes. Unpack it first."
    )


def test_the_limit_may_be_lower(tmp_path):
    path = written(tmp_path, gzip.compress(b"a dog", mtime=0))
    assert read_text(path, largest=5) == "a dog"
    with pytest.raises(DataError, match="unpacks to more than 4 bytes"):
        read_text(path, largest=4)


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "a.csv") == ": cannot be read (No such file or directory). Check the path."
