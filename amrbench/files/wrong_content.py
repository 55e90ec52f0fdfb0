"""What a file holds in place of numbers or sound, and what to do: e.g. a web page or a Git LFS pointer."""

from __future__ import annotations

from pathlib import Path

from amrbench.files.file_kind import HEAD, file_kind
from amrbench.files.jsonl import shown

_DOWNLOAD = "The download failed; open its address in a browser, and download it again."
_OTHER = "Copy or download the right file."
_UNPACK = "Unpack it first."
_NUMBERS = "Save the numbers as .npz, with numpy.savez."
_REMEDIES = {
    "a web page": _DOWNLOAD,
    "an XML file": _DOWNLOAD,
    "a Git LFS pointer": "Run it, and try again.",
    "a git-annex pointer": "Run it, and try again.",
    "metadata of macOS": "Copy the file itself, whose name has no '._'.",
    **dict.fromkeys(("a pickle", "an HDF5", "a MATLAB", "a Parquet", "an SQLite"), _NUMBERS),
    **dict.fromkeys(("a ZIP", "a gzip", "a bzip2", "an xz", "a Zstandard", "an LZ4"), _UNPACK),
    **dict.fromkeys(("a 7-Zip", "a RAR", "a tar"), _UNPACK),
}
"""What to do by the beginning of a kind."""
_SOUND = ("a WAV", "a FLAC", "an Ogg", "an MP3")


def wrong_content(head: bytes) -> str:
    """Return what the first `HEAD` bytes of a file show, and the remedy; an empty string if nothing is known.

    >>> wrong_content(b"")
    'is empty. Copy or download it again.'
    """
    if not head:
        return "is empty. Copy or download it again."
    if not head.strip(b"\x00"):
        return "begins with zeros only, as after an interrupted copy or download. Copy or download it again."
    if kind := file_kind(head):
        remedies = (remedy for start, remedy in _REMEDIES.items() if kind.startswith(start))
        return f"is {kind}. {next(remedies, _OTHER)}"
    text = _text(head)
    if text.startswith(("{", "[")):
        return f"is a JSON file: {shown(text)}. {_OTHER} A download may have failed and left a message."
    return f"is text: {shown(text)}. {_OTHER}" if text else ""


def wrong_audio(path: Path) -> str:
    """Return what a file shows that cannot be decoded as audio; empty if nothing is known, or it is audio."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return ""
    return "" if file_kind(head).startswith(_SOUND) else wrong_content(head)


def _text(head: bytes) -> str:
    """Return the text of the first bytes of a file; empty if they are not text."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return ""
        text = head[: error.start].decode("utf-8-sig")  # The head may end inside a letter.
    words = " ".join(text.split())
    return words if words.isprintable() else ""
