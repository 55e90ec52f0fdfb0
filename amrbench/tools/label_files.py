"""Label files and the recordings they are about: a file for each recording, with its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from amrbench.data.audio import OTHER_SUFFIXES, SUFFIXES, open_audio
from amrbench.data.near_files import about_missing_audio
from amrbench.data.recording_files import RecordingFiles, without_suffix
from amrbench.errors import DataError, some
from amrbench.files.audacity_labels import parse_audacity_labels
from amrbench.files.folder_files import is_hidden
from amrbench.files.labels import Label, Remarks
from amrbench.files.raven_table import is_raven_table, parse_raven_table

SUFFIX = ".txt"
_REMEDY = " Name the label file like its recording."
_ENDS = re.compile(r"\.(txt|labels?|table(\.\d+)?|selections?|birdnet|results)$", re.IGNORECASE)
"""Ends of names of label files: doubled suffixes, and what Raven and BirdNET add to names of recordings."""


class RecordingLengths:
    """The lengths of the recordings in a folder."""

    def __init__(self, folder: Path, ids: Iterable[str]) -> None:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "there is no such folder"
            raise DataError(f"{folder}: {what}. Name the folder of the recordings with --audio.")
        self._files = RecordingFiles.with_audio(folder, ids)
        self._seconds: dict[str, float] = {}

    def __contains__(self, own: str) -> bool:
        return self._files.find(own) is not None

    def of(self, own: str, location: str, remedy: str = "") -> float:
        """Return the length of a recording in seconds.

        Raises:
            DataError: The recording is missing or damaged; the text names the location that needs it, and the
                remedy if it is missing.
        """
        if own not in self._seconds:
            path = self._files.find(own)
            if path is None:
                line = f"{location}: there is no recording {own!r} in {self._files.folder}.{remedy}"
                raise DataError("\n  ".join([line, *about_missing_audio(self._files, [own])]))
            self._seconds[own] = open_audio(path).seconds
        return self._seconds[own]


def parse_label_files(
    texts: Mapping[Path, str], audio: Path, remarks: Remarks, *, form: str = ""
) -> list[Label]:
    """Return the labels of some label files, with the ids and lengths of their recordings.

    Args:
        texts: The text of each file.
        audio: Folder of the recordings.
        remarks: Gets what people must know of the files.
        form: audacity or raven; empty to tell it from the content of each file.

    Raises:
        DataError: A file is wrong, or its recording is missing.
    """
    contents = {file: _parsed(file, text, remarks, form) for file, text in texts.items()}
    ids = [name for file in texts for name in _names(file)]
    ids += [label.vid for labels in contents.values() for label in labels if label.vid]
    lengths = RecordingLengths(audio, ids)
    result: list[Label] = []
    files_of: dict[str, Path] = {}
    for file, labels in contents.items():
        own = next((name for name in _names(file) if name in lengths), file.stem)
        first = {label.vid: label.location for label in reversed(labels)}
        seconds = {
            vid or own: lengths.of(vid or own, location, "" if vid else _REMEDY)
            for vid, location in first.items()
        }
        for label in labels:
            vid = label.vid or own
            result.append(replace(label, vid=without_suffix(vid), duration=seconds[vid]))
        if not labels:
            remarks.add(str(file), "has no labels.")
        elif own in seconds and own != file.stem:
            remarks.add(f"{file} (for {own!r})", "the end of its name is left out to find the recording.")
        for vid in dict.fromkeys(map(without_suffix, seconds)):
            if files_of.setdefault(vid, file) != file:
                remarks.add(f"{files_of[vid]} and {file}", "label files about one recording are joined.")
    return result


def label_files(folder: Path, remarks: Remarks) -> list[Path]:
    """Return the label files in a folder, where recordings may be too; others get a remark.

    Raises:
        DataError: There are none; the text names what is there.
    """
    entries = sorted(path for path in folder.iterdir() if not is_hidden(Path(path.name)))
    files = [path for path in entries if path.suffix.lower() == SUFFIX and path.is_file()]
    sound = (*SUFFIXES, *OTHER_SUFFIXES)
    others = [path.name for path in entries if path not in files and path.suffix.lower() not in sound]
    if not files:
        there = f"it has {some(others)}" if others else "it is empty"
        raise DataError(
            f"{folder}: has no label files (*{SUFFIX}); {there}. Label files are text with the names of "
            f"their recordings and {SUFFIX} at the end."
        )
    if others:
        remarks.add(str(folder), f"{some(others)} in it are not read; label files end in {SUFFIX}.")
    return files


def _names(file: Path) -> Iterator[str]:
    """Yield the names that the recording of a label file may have."""
    name = file.stem
    yield name
    while match := _ENDS.search(name):
        name = name[: match.start()]
        yield name


def _parsed(file: Path, text: str, remarks: Remarks, form: str) -> list[Label]:
    raven = form == "raven" or (not form and is_raven_table(text))
    return (parse_raven_table if raven else parse_audacity_labels)(file, text, remarks)
