import pytest

from amrbench.files.media_kind import media_kind, media_kind_of


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A \0\0", "M4A (MPEG-4 audio)"),
        (b"\0\0\0\x20ftypisom\0\0", "MPEG-4 (MP4, M4A)"),
        (b"\0\0\0\x14ftypqt  \0\0", "QuickTime (MOV)"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "MPEG-4 (MP4, M4A)"),
        (b"\x1aE\xdf\xa3\x01", "WebM or Matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "Windows Media (WMA, WMV)"),
        ((b"G" + bytes(187)) * 3, "MPEG transport stream (TS)"),
        (b"RIFF\0\0\0\0WAVEfmt ", ""),
        (b"\xff\xfb\x90\x44", ""),
        (b"ID3\x04", ""),
        (b"fLaC", ""),
        (b"OggS", ""),
        (b"Goals: a list of them", ""),
        (b"", ""),
    ],
)
def test_formats_are_known_by_their_first_bytes(tmp_path, head, kind):
    assert media_kind(head) == kind
    (tmp_path / "a").write_bytes(head)
    assert media_kind_of(tmp_path / "a") == kind
