"""Which audio or video format of others a file has, by its first bytes."""

from __future__ import annotations

from pathlib import Path

HEAD = 512
"""Number of bytes that `media_kind` looks at."""
_MAGIC = (
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media (WMA, WMV)"),
    (8, b"AVI ", "AVI"),
    (0, b"#!AMR", "AMR"),
    (0, b"ADIF", "AAC"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio (APE)"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b".RMF", "RealMedia"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"\x00\x00\x01\xb3", "MPEG video"),
    (0, b"MThd", "MIDI, which is no recording"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"NIST_1A", "NIST SPHERE"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_BRANDS = {b"M4A ": "M4A (MPEG-4 audio)", b"M4B ": "M4A (MPEG-4 audio)", b"qt  ": "QuickTime (MOV)"}
_TS_PACKET = 188


def media_kind(head: bytes) -> str:
    """Return the format, or an empty string if these bytes are not of one that is known here.

    >>> media_kind(b"....ftypM4A ")
    'M4A (MPEG-4 audio)'
    """
    if head[4:8] in _MP4_BOXES:
        return _BRANDS.get(head[8:12], "MPEG-4 (MP4, M4A)")
    if head[:1] == head[_TS_PACKET:][:1] == head[2 * _TS_PACKET :][:1] == b"G":
        return "MPEG transport stream (TS)"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return next((kind for start, magic, kind in _MAGIC if head[start:].startswith(magic)), "")


def media_kind_of(path: Path) -> str:
    """Return the format of a file, or an empty string.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return media_kind(file.read(HEAD))
