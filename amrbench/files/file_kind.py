"""What a file is by its first bytes, for messages about files that hold something else than expected."""

from __future__ import annotations

HEAD = 512
"""Number of bytes that `file_kind` looks at."""
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive (Excel and LibreOffice files are such archives)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a rich text (RTF) file"),
    (b"\x00\x05\x16\x07", "metadata of macOS (a ._ file)"),
    (b"RIFF", "a WAV or AVI file"),
    (b"fLaC", "a FLAC file"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"version https://git-lfs", "a Git LFS pointer, whose content 'git lfs pull' fetches"),
    (b"/annex/objects/", "a git-annex pointer, whose content 'git annex get' fetches"),
    (b"\x04\x22\x4d\x18", "an LZ4 file"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska file"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
)
_MARKUP = ((b"<!doctype html", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML file"))
_PICKLE_PROTOCOLS = range(2, 6)
_TAR_MARK = slice(257, 262)


def file_kind(head: bytes) -> str:
    """Return what a file is, with its article, or an empty string if its first bytes do not show it.

    >>> file_kind(b"PAR1")
    'a Parquet file'
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[_TAR_MARK] == b"ustar":
        return "a tar archive"
    if head[:1] == b"\x80" and head[1:2] and head[1] in _PICKLE_PROTOCOLS:
        return "a pickle"
    markup = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower()
    return next((kind for start, kind in _MARKUP if markup.startswith(start)), "")
