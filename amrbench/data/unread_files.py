"""Why a file that lies among recordings or features is not read, and what to do with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePath

from amrbench.data.audio import OTHER_SUFFIXES, how_to_convert, readable_suffixes
from amrbench.errors import some
from amrbench.files.archive_parts import part_of
from amrbench.files.archives import ARCHIVES
from amrbench.files.folder_files import FolderFiles, printable

Reason = tuple[str, str]
"""A kind, by which files are counted, and a sentence about a file."""
_UNFINISHED = frozenset({".part", ".partial", ".crdownload", ".download", ".ytdl", ".aria2", ".tmp", ".temp"})
"""Suffixes that programs give to files whose download has not ended."""


def why_unread(path: PurePath, by_suffix: Callable[[PurePath], str]) -> Reason:
    """Return why a file is not read, by its name.

    Args:
        path: The file.
        by_suffix: Returns the sentence about a file whose suffix is not that of files which are read.
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix == ".icloud":
        return "icloud", "The file itself is in iCloud. Download it there."
    if name.startswith("._"):
        return "metadata", "It holds metadata of macOS. Copy the file itself, whose name has no '._'."
    if name.startswith("."):
        return "hidden", "Hidden files are not read. Rename it."
    if suffix in _UNFINISHED:
        return "unfinished", "Its download has not ended. Download it again."
    if part := part_of(path.name):
        return "part", f"It is a part of an archive. {part.remedy} Then unpack it."
    if is_archive(path):
        return "archive", "It is an archive. Unpack it."
    return suffix or "no suffix", by_suffix(path)


def is_archive(path: PurePath) -> bool:
    """Whether a file is an archive by its name, also one of a kind that is not read."""
    return path.name.lower().endswith((*ARCHIVES, ".rar", ".7z", ".zst", ".gz"))


def why_broken(link: Path) -> Reason:
    """Return where a link leads that leads to no file."""
    target = str(link.readlink())
    annex = ".git/annex/objects" in target
    remedy = "Run 'git annex get' on it." if annex else "Copy the file itself, or correct the link."
    return "link", f"It is a link to {target}, which is not there. {remedy}"


def not_audio(path: PurePath) -> str:
    """Return why a suffix is not one of audio files that are read."""
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        return f"{suffix} files are not read. {how_to_convert(path)}"
    return (
        f"{suffix} files are not audio." if suffix else "It has no suffix. Add that of its format, e.g. .wav."
    )


def not_numbers(path: PurePath) -> str:
    """Return why a suffix is not one of feature files that are read."""
    files = f"{path.suffix.lower()} files" if path.suffix else "Files without suffix"
    arrays = "'features' of a recording, 'last_hidden_state' of a text"
    return f"{files} are not read. Save the numbers as .npz with numpy.savez: {arrays}."


def not_annotations(path: PurePath) -> str:
    """Return why a suffix is not that of annotation files."""
    if path.suffix.lower() in (".json", ".csv", ".tsv", ".txt"):
        return (
            "Annotations are in .jsonl files. Rename it if it has JSON lines, or use 'amrbench data convert'."
        )
    return "Annotations are in .jsonl files."


def about_unread_audio(listed: FolderFiles) -> list[str]:
    """Return lines on files of a folder that may be recordings and are not read, one line for each kind."""
    suffixes = readable_suffixes()
    unread = [path for path in listed.files if path.suffix.lower() not in suffixes and _may_be_audio(path)]
    present = {str(path) for path in listed.files}
    for path in listed.hidden:
        is_extra = path.name.startswith("._") and str(path.with_name(path.name[2:])) in present
        if path.suffix.lower() in (*suffixes, ".icloud") and not is_extra:
            unread.append(path)
    reasons = [(path, why_unread(path, not_audio)) for path in unread]
    reasons += [(path, why_broken(path)) for path in listed.broken if path.suffix.lower() in suffixes]
    groups = defaultdict[str, dict[str, str]](dict)
    for path, (kind, sentence) in reasons:
        groups[kind][str(path)] = sentence
    return [printable(f"{some(own, 3)}: {next(iter(own.values()))}") for own in groups.values()]


def _may_be_audio(path: PurePath) -> bool:
    known = path.suffix.lower() in (*OTHER_SUFFIXES, *_UNFINISHED)
    return known or is_archive(path) or part_of(path.name) is not None
