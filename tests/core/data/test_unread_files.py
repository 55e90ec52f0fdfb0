from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from amrbench.data.unread_files import about_unread_audio, not_audio, not_numbers, why_broken, why_unread
from amrbench.files.folder_files import files_below


@pytest.fixture(autouse=True)
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amrbench.data.audio.has_pyav", lambda: False)


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("._a.wav", "metadata", "It holds metadata of macOS. Copy the file itself, whose name has no '._'."),
        (".a.wav", "hidden", "Hidden files are not read. Rename it."),
        (".a.wav.icloud", "icloud", "The file itself is in iCloud. Download it there."),
        ("a.wav.crdownload", "unfinished", "Its download has not ended. Download it again."),
        ("a.rar", "archive", "It is an archive. Unpack it."),
        ("a.TAR.GZ", "archive", "It is an archive. Unpack it."),
        ("a.txt", ".txt", ".txt files are not audio."),
        ("a", "no suffix", "It has no suffix. Add that of its format, e.g. .wav."),
    ],
)
def test_the_reason_shows_in_the_name(name: str, kind: str, sentence: str) -> None:
    assert why_unread(PurePath(name), not_audio) == (kind, sentence)


def test_parts_of_archives_must_be_joined() -> None:
    kind, sentence = why_unread(PurePath("audio.zip.001"), not_audio)
    assert kind == "part"
    assert sentence.startswith(
        "It is a part of an archive. Join all parts first: 'cat audio.zip.* > audio.zip'"
    )
    assert sentence.endswith(" Then unpack it.")


def test_other_formats_must_be_converted() -> None:
    text = not_audio(PurePath("my audio/-a.M4A"))
    assert text.startswith(
        ".m4a files are not read. Convert it, e.g. with 'ffmpeg -i 'my audio/-a.M4A' -vn 'my audio/-a.flac''"
    )


def test_a_name_that_begins_with_a_dash_is_no_option() -> None:
    assert "'ffmpeg -i ./-a.m4a -vn ./-a.flac'" in not_audio(PurePath("-a.m4a"))


def test_numbers_are_saved_as_npz() -> None:
    assert not_numbers(PurePath("a.pt")) == (
        ".pt files are not read. Save the numbers as .npz with numpy.savez: 'features' of a recording, "
        "'last_hidden_state' of a text."
    )
    assert not_numbers(PurePath("a")).startswith("Files without suffix are not read.")


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("../gone/a.wav", "Copy the file itself, or correct the link."),
        ("../.git/annex/objects/xx/SHA256E-s9--00.wav", "Run 'git annex get' on it."),
    ],
)
def test_links_that_lead_nowhere(tmp_path: Path, target: str, remedy: str) -> None:
    (tmp_path / "a.wav").symlink_to(target)
    assert why_broken(tmp_path / "a.wav") == (
        "link",
        f"It is a link to {target}, which is not there. {remedy}",
    )


def test_files_of_a_folder_that_may_be_recordings(tmp_path: Path) -> None:
    for name in ("a.wav", "._a.wav", "b.txt", "c.webm", "d.webm", "._e.wav", ".f.wav", "g.zip", ".DS_Store"):
        (tmp_path / name).touch()
    (tmp_path / "h.wav").symlink_to("gone")
    webm, *others = about_unread_audio(files_below(tmp_path))
    assert webm.startswith(f"'{tmp_path}/c.webm', '{tmp_path}/d.webm': .webm files are not read. Convert it")
    assert others == [
        f"'{tmp_path}/g.zip': It is an archive. Unpack it.",
        f"'{tmp_path}/._e.wav': It holds metadata of macOS. Copy the file itself, whose name has no '._'.",
        f"'{tmp_path}/.f.wav': Hidden files are not read. Rename it.",
        f"'{tmp_path}/h.wav': It is a link to gone, which is not there. Copy the file itself, or correct the "
        "link.",
    ]
