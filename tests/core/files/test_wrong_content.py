from __future__ import annotations

from pathlib import Path

import pytest

from amrbench.files.wrong_content import wrong_audio, wrong_content

JSON = "Copy or download the right file. A download may have failed and left a message."
DOWNLOAD = "The download failed; open its address in a browser, and download it again."


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"", "is empty. Copy or download it again."),
        (
            bytes(100),
            "begins with zeros only, as after an interrupted copy or download. Copy or download it again.",
        ),
        (b"\n <!DOCTYPE html>\n<html>", f"is a web page. {DOWNLOAD}"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', f"is an XML file. {DOWNLOAD}"),
        (b'{"message": "rate limit"}', rf'is a JSON file: "{{\"message\": \"rate limit\"}}". {JSON}'),
        (b"\xef\xbb\xbf404: Not Found\r\n", 'is text: "404: Not Found". Copy or download the right file.'),
        ("é".encode()[:1], ""),
        (b"Not found \xc3", 'is text: "Not found". Copy or download the right file.'),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "is a Git LFS pointer, whose content 'git lfs pull' fetches. Run it, and try again.",
        ),
        (
            b"/annex/objects/SHA256E-s9--00.wav\n",
            "is a git-annex pointer, whose content 'git annex get' fetches. Run it, and try again.",
        ),
        (
            b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
            "is metadata of macOS (a ._ file). Copy the file itself, whose name has no '._'.",
        ),
        (b"Rar!\x1a\x07\x01\x00", "is a RAR archive. Unpack it first."),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive. Unpack it first."),
        (b"\x80\x02}q\x00.", "is a pickle. Save the numbers as .npz, with numpy.savez."),
        (b"%PDF-1.7", "is a PDF. Copy or download the right file."),
        (b"\x01\xff\x02", ""),
    ],
)
def test_contents_are_named_with_their_remedy(head: bytes, text: str) -> None:
    assert wrong_content(head) == text


def test_a_head_may_end_inside_a_letter() -> None:
    assert wrong_content("é".encode() * 256 + b"\xc3").startswith("is text:")


def test_sound_is_not_wrong_in_audio_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert wrong_audio(path) == ""
    path.write_bytes(b"RIFF....WAVE")
    assert wrong_audio(path) == ""
    path.write_bytes(b"%PDF")
    assert wrong_audio(path) == "is a PDF. Copy or download the right file."
