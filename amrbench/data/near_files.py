"""What is there instead of files that are missing: one sentence with the remedy for each kind of mistake."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePath
from urllib.parse import unquote

from amrbench.data.audio import readable_suffixes
from amrbench.data.recording_files import RecordingFiles, without_suffix
from amrbench.data.unread_files import (
    Reason,
    is_archive,
    not_annotations,
    not_audio,
    not_numbers,
    why_broken,
    why_unread,
)
from amrbench.errors import DataError, some
from amrbench.files.archive_parts import part_of
from amrbench.files.folder_files import FolderFiles, composed, files_below, is_hidden, printable

_LINES = 6
_SHORTEST = 4
"""Letters that a name needs to be looked for inside other names."""
_COMPARED = 1000
"""Names that are compared letter by letter; more would take seconds."""
_COMPARED_NAMES = 3
_SIMILAR = 0.8


def about_missing_audio(files: RecordingFiles, missing: Sequence[str], root: Path | None = None) -> list[str]:
    """Return lines on what is there instead of some recordings.

    Args:
        files: The folder of the recordings.
        missing: Ids that have no file there.
        root: The folder of the data set, where recordings may be instead.
    """
    if files.folder.is_symlink() and not files.folder.exists():
        return [f"{files.folder} is a link to {files.folder.readlink()}, which is not there."]
    lines = NearFiles(files.others(files.ids), files.suffixes, not_audio, files.listed).about(missing)
    if files.readable or lines or root is None or not root.is_dir():
        return lines
    lines = [] if files.folder.is_dir() else [f"There is no folder {files.folder}."]
    around = files_below(root).files
    for path in [path for path in around if path.suffix.lower() in files.suffixes][:1]:
        lines.append(f"{path.parent} has audio files, e.g. {path.name}. Move them to {files.folder}.")
    return [*lines, *NearFiles(around, files.suffixes, not_audio).archives()]


def refuse_missing_recording(path: Path) -> None:
    """Raise DataError for a path without a file, with what is there instead."""
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}. Check the path.")
    near_by = [other for other in sorted(path.parent.iterdir()) if not other.is_dir()]
    listed = FolderFiles(path.parent)
    for other in near_by:
        kind = listed.hidden if is_hidden(PurePath(other.name)) else listed.files
        (kind if other.exists() else listed.broken).append(other)
    near = NearFiles(listed.files, readable_suffixes(), not_audio, listed)
    lines = near.about_each([path.name])
    remedy = "" if lines else " Check the path."
    raise DataError("\n  ".join([f"{path}: there is no such audio file.{remedy}", *lines]))


def about_missing_annotations(path: Path, known: Collection[Path]) -> list[str]:
    """Return lines on what is there instead of an annotation file; the known files are those of splits."""
    if path.is_symlink():
        return [f"{path} is there. {why_broken(path)[1]}"]
    listed = list(path.parent.iterdir()) if path.parent.is_dir() else []
    others = [other for other in sorted(listed) if other not in known and other.is_file()]
    others = [other for other in others if not is_hidden(PurePath(other.name))]
    return NearFiles(others, (".jsonl",), not_annotations).about([path.stem])


def about_missing_feature_file(path: Path) -> list[str]:
    """Return a line on a file that is there instead of a feature file and differs in the case of its name."""
    listed: list[Path] = []
    with suppress(OSError):  # There is no folder, or it cannot be read, which is said where it is needed.
        listed = sorted(path.parent.iterdir())
    near = [other for other in listed if _folded(other.name) == _folded(path.name) and other.is_file()]
    why = f"whose name differs in case only. Rename it to {path.name}, or move it away."
    return [printable(f"{other} is there, {why}") for other in near[:1]]


def about_missing_features(files: RecordingFiles, missing: Sequence[str]) -> list[str]:
    """Return lines on what is there instead of the .npz files with some names (without suffix)."""
    folder = files.folder
    if not folder.is_dir():
        known = sorted(path.name for path in folder.parent.glob("*/"))
        return [f"There is no folder {folder}; {folder.parent} has {some(known) or 'none'}."]
    return NearFiles(files.others(()), files.suffixes, not_numbers, files.listed).about(missing)


class NearFiles:
    """Files that belong to no id, and what they say about names that no file has."""

    def __init__(
        self,
        others: Iterable[PurePath],
        suffixes: Sequence[str],
        by_suffix: Callable[[PurePath], str],
        listed: FolderFiles | None = None,
    ) -> None:
        """Take the files.

        Args:
            others: Files that belong to no id.
            suffixes: Of the files that can be read, in lower case.
            by_suffix: Returns why a file with another suffix is not read, and what to do.
            listed: The folder, for its hidden files and its links without a file.
        """
        self._others = list(others)
        self._suffixes = tuple(suffixes)
        self._by_suffix = by_suffix
        self._listed = listed or FolderFiles(Path())

    def about(self, names: Iterable[str]) -> list[str]:
        """Return the lines of `about_each`, and a line on archives."""
        return [*self.about_each(names), *map(printable, self.archives())]

    def about_each(self, names: Iterable[str]) -> list[str]:
        """Return lines on what is there instead of the files with some names (without suffix)."""
        groups = defaultdict[str, dict[str, str]](dict)
        unexplained = []
        for name in names:
            kind, sentence = self._explain(composed(name))
            if kind:
                groups[kind][name] = sentence
            else:
                unexplained.append(name)
        lines = [f"{some(own, 3)}: {next(iter(own.values()))}" for own in groups.values()]
        lines += [
            f"{name!r}: {near} has a similar name. Rename it if it is the one."
            for name in unexplained[:_COMPARED_NAMES]
            if (near := self._similar(composed(name)))
        ]
        return [printable(line) for line in lines[:_LINES]]

    def _explain(self, name: str) -> tuple[str, str]:
        """Return a kind of mistake and a sentence about it; two empty strings if there is none."""
        bare = without_suffix(name)
        for own in dict.fromkeys((name, bare)):
            if path := self._by_stem.get(own):
                kind, why = self._why(path)
                return kind, f"{path} is there. {why}"
            if link := self._broken.get(own):
                kind, why = why_broken(link)
                return kind, f"{link} is there. {why}"
            if path := self._hidden.get(own):
                kind, why = why_unread(path, self._by_suffix)
                return kind, f"only {path} is there. {why}"
        if path := self._by_folded.get(_folded(bare)):
            return "case", f"{path} is there, whose name differs in case only. Rename it.{self._also(path)}"
        if bare.startswith("qid") and (path := self._by_stem.get(bare.removeprefix("qid"))):
            return "qid", f"{path} is there, without 'qid' in its name. Rename it to {name}{path.suffix}."
        if path := self._by_letters.get(_letters(bare)):
            marks = "whose name differs in accents, zeros or other marks"
            return "marks", f"{path} is there, {marks}. Rename it.{self._also(path)}"
        if ("/" in name or "\\" in name) and (path := self._by_stem.get(re.split(r"[/\\]", bare)[-1])):
            return "path", f"the id is a path; {path} is there. Use the name of the file as the id."
        return "", ""

    def _why(self, path: PurePath) -> Reason:
        if path.suffix.lower() in self._suffixes:
            return "shared", "Use its name, or rename it."
        return why_unread(path, self._by_suffix)

    def _also(self, path: PurePath) -> str:
        return "" if path.suffix.lower() in self._suffixes else f" {self._why(path)[1]}"

    def _similar(self, name: str) -> PurePath | None:
        """Return the readable file with the most similar name, or None."""
        stems = {composed(path.stem): path for path in self._others if path.suffix.lower() in self._suffixes}
        if len(name) >= _SHORTEST:
            inside = (own for own in stems if name in own or (len(own) >= _SHORTEST and own in name))
            if near := min(inside, key=lambda own: abs(len(own) - len(name)), default=""):
                return stems[near]
        # Names that differ in a number are those of other recordings.
        same = [own for own in stems if re.findall(r"\d+", own) == re.findall(r"\d+", name)]
        closest = sorted(same, key=lambda own: abs(len(own) - len(name)))[:_COMPARED]
        return next((stems[own] for own in get_close_matches(name, closest, n=1, cutoff=_SIMILAR)), None)

    def archives(self) -> list[str]:
        """Return a line on archives that lie among the files."""
        archives = [path for path in self._others if is_archive(path) or part_of(path.name)]
        return [f"{path} is there. {why_unread(path, self._by_suffix)[1]}" for path in archives[:1]]

    @cached_property
    def _by_stem(self) -> dict[str, PurePath]:
        stems = {composed(path.name): path for path in self._others if not path.suffix}
        for path in reversed(self._others):
            stem = PurePath(composed(path.stem))
            inner = stem.stem if stem.suffix.lower() in self._suffixes else str(stem)
            stems |= dict.fromkeys((str(stem), inner, without_suffix(inner)), path)
        return stems

    @cached_property
    def _by_folded(self) -> dict[str, PurePath]:
        return {_folded(without_suffix(path.stem)): path for path in self._readable_last}

    @cached_property
    def _by_letters(self) -> dict[str, PurePath]:
        return {_letters(without_suffix(path.stem)): path for path in self._readable_last}

    @cached_property
    def _readable_last(self) -> list[PurePath]:
        return sorted(self._others, key=lambda path: path.suffix.lower() in self._suffixes)

    @cached_property
    def _hidden(self) -> dict[str, Path]:
        names = {path: path.name.removeprefix("._").removeprefix(".") for path in self._listed.hidden}
        return {composed(PurePath(name.removesuffix(".icloud")).stem): path for path, name in names.items()}

    @cached_property
    def _broken(self) -> dict[str, Path]:
        return {composed(path.stem): path for path in self._listed.broken}


def _folded(name: str) -> str:
    return composed(name).casefold()


def _letters(name: str) -> str:
    """Return the letters and numbers of a name, without accents, leading zeros and other marks."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    text = unicodedata.normalize("NFKD", unquote(name).casefold())
    plain = "".join(char for char in text if char.isalnum())
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain) or name
