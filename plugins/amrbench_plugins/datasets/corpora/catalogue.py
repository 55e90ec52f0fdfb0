"""The files of the corpora: sounds with captions, and backgrounds, in the folders that are published."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amrbench.content_hash import content_hash
from amrbench.data.audio import SUFFIXES, audio_by_stem
from amrbench.errors import DataError, some

WAVCAPS = {
    "AudioSet_SL": ("as_final.json", "YouTube content; ids CC BY 4.0; captions for academic use only"),
    "BBC_Sound_Effects": ("bbc_final.json", "RemArc, non-commercial; captions for academic use only"),
    "SoundBible": ("sb_final.json", "per clip, see its page; captions for academic use only"),
}
"""Subsets that the report uses: the file of captions, and the licence."""
DEMAND_LICENCE = "CC BY-SA 3.0 (Thiemann et al. 2013); see the text of your download"
TOURS_LICENCE = "YouTube content; list of videos CC BY (Venkataramanan et al. 2024)"
_CHANNELS = 16
"""Of each environment of DEMAND."""
_POINTER = "version https://git-lfs"
"""How a file begins that Git LFS has not downloaded."""


@dataclass(frozen=True)
class Sound:
    """A recording with captions.

    Attributes:
        corpus: Its corpus.
        name: Its id there.
        path: The file.
        captions: Sentences about it; at least one.
        licence: Of the recording.
    """

    corpus: str
    name: str
    path: Path
    captions: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Background:
    """A recording of an environment.

    Attributes:
        corpus: Its corpus.
        name: Its id there.
        environment: Where it was recorded; channels of one environment are not independent.
        path: The file.
        licence: Of the recording.
    """

    corpus: str
    name: str
    environment: str
    path: Path
    licence: str


def wavcaps_sounds(folder: Path, subsets: Sequence[str], excluded: frozenset[str]) -> list[Sound]:
    """Return the sounds of some subsets of WavCaps whose ids are not excluded, in the order of their files.

    Sounds without captions are left out. The captions are in `json_files/<subset>/<name>.json`,
    `<subset>/<name>.json` or `<name>.json`. The audio is in `<subset>/` or `<subset>_flac/`, named by the id,
    with any suffix.

    Raises:
        DataError: A file is missing or is not as published.
    """
    return [sound for subset in subsets for sound in _wavcaps_subset(folder, subset, excluded)]


def demand_backgrounds(folder: Path, environments: Sequence[str]) -> list[Background]:
    """Return the channels of some environments of DEMAND, 16 for each.

    They are in `<NAME>/`, `<NAME>_16k/` or `<NAME>_48k/`, or in a folder `<NAME>/` in one of these.

    Raises:
        DataError: A channel is missing.
    """
    return [
        Background("DEMAND", f"{name} ch{channel:02d}", name, _channel(folder, name, channel), DEMAND_LICENCE)
        for name in environments
        for channel in range(1, _CHANNELS + 1)
    ]


def clotho_sounds(folder: Path, split: str) -> list[Sound]:
    """Return the sounds of a split of Clotho.

    They are in `<split>/`, their captions in `clotho_captions_<split>.csv` and their licences in
    `clotho_metadata_<split>.csv`.

    Raises:
        DataError: A file is missing or is not as published.
    """
    captions = folder / f"clotho_captions_{split}.csv"
    rows = _csv(captions, ("file_name", "caption_1"))
    metadata = _csv(folder / f"clotho_metadata_{split}.csv", ("file_name", "license"), encoding="latin-1")
    licences = {row["file_name"]: row["license"] for row in metadata}
    files = _audio_below(folder / split)
    sounds = [_clotho_sound(row, licences, files, folder / split) for row in rows]
    for number, sound in enumerate(sounds, start=2):  # row 1 is the header
        if not sound.captions:
            raise DataError(
                f"{captions}: row {number}, {sound.name!r}, has no caption. Download it with Clotho v2.1."
            )
    return sounds


def tour_backgrounds(folder: Path, names: Sequence[str]) -> list[Background]:
    """Return the Walking Tours of some names; a file is called like its tour, with any suffix.

    Raises:
        DataError: A tour is missing.
    """
    files = _audio_below(folder)
    for name in names:
        if name not in files:
            raise DataError(f"{folder}: there is no audio file {name!r} ({', '.join(SUFFIXES)}).")
    return [Background("Walking Tours", name, name, files[name], TOURS_LICENCE) for name in names]


def excluded_ids(files: Iterable[str]) -> frozenset[str]:
    """Return the ids in some files, as `plain_id` gives them.

    A file is text with one id on each line, or JSON with ids in lists and mappings.

    Raises:
        DataError: A file cannot be read.
    """
    return frozenset(plain_id(name) for file in files for name in _ids(Path(file).expanduser()))


def plain_id(name: str) -> str:
    """Return an id in the form in which ids are compared: WavCaps writes YouTube ids as Y<11 letters>.wav.

    >>> plain_id("Y---1_cCGK4M.wav")
    '---1_cCGK4M'
    """
    stem = re.sub(r"\.(wav|flac|mp3|ogg)$", "", name.strip())
    return stem[1:] if re.fullmatch(r"Y[\w-]{11}", stem) else stem


def hash_of_sources(sources: Sequence[Sound | Background]) -> str:
    """Return a hash of ids, captions or environments, and sizes of files; no audio is read for it."""
    return content_hash(
        [
            [
                source.corpus,
                source.name,
                source.captions if isinstance(source, Sound) else source.environment,
                source.path.stat().st_size,
            ]
            for source in sources
        ]
    )


def hash_fraction(name: str) -> float:
    """Return a number from 0 to 1 that depends on a name alone; it decides the split of a recording."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


# ---------------------------------------------------------------- WavCaps


def _wavcaps_subset(folder: Path, subset: str, excluded: frozenset[str]) -> Iterator[Sound]:
    file, licence = WAVCAPS[subset]
    candidates = (folder / subset / file, folder / "json_files" / subset / file, folder / file)
    path = next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
    files = _audio_below(folder / subset) | _audio_below(folder / f"{subset}_flac")
    entries = {str(entry["id"]).removesuffix(".wav"): entry for entry in _entries(path)}
    usable = {
        name: captions
        for name, entry in entries.items()
        if (captions := _captions(entry)) and plain_id(name) not in excluded
    }
    missing = [name for name in usable if name not in files]
    if missing:
        raise DataError(
            f"{path}: {len(missing):,} of {len(usable):,} recordings have no audio file in "
            f"{folder / subset}: {some(missing)}. Unpack the whole archive there, name in 'exclude' a file "
            "with the missing ids, or leave the subset out."
        )
    for name, captions in usable.items():
        yield Sound(f"WavCaps {subset}", name, files[name], captions, licence)


def _entries(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the captions of WavCaps cannot be read ({error}).") from error
    if text.startswith(_POINTER):
        raise DataError(f"{path}: is a Git LFS pointer, not the captions. Download the file itself.")
    try:
        entries: list[Mapping[str, Any]] = json.loads(text)["data"]
        for entry in entries:
            entry["id"], _captions(entry)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: is not as WavCaps publishes it ({type(error).__name__}: {error}): it needs 'data' with "
            "'id' and 'caption'."
        ) from error
    return entries


def _captions(entry: Mapping[str, Any]) -> tuple[str, ...]:
    if "caption" in entry:
        return _texts([entry["caption"]])
    numbered = [value for name, value in entry.items() if re.fullmatch(r"caption_\d+", name)]
    if not numbered:
        raise KeyError("caption")
    return _texts(numbered)


def _texts(captions: Iterable[object]) -> tuple[str, ...]:
    """Return captions with single blanks between words, without empty ones."""
    cleaned = (" ".join(str(caption).split()) for caption in captions if caption is not None)
    return tuple(caption for caption in cleaned if caption)


# ---------------------------------------------------------------- other corpora


def _channel(folder: Path, environment: str, channel: int) -> Path:
    name = f"ch{channel:02d}.wav"
    candidates = [
        folder / outer / inner / name
        for outer in (environment, f"{environment}_16k", f"{environment}_48k")
        for inner in ("", environment)
    ]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder / environment}: there is no {name}. Unpack {environment}_16k.zip or "
            f"{environment}_48k.zip of DEMAND there."
        )
    return path


def _clotho_sound(
    row: Mapping[str, str], licences: Mapping[str, str], files: Mapping[str, Path], folder: Path
) -> Sound:
    name = row["file_name"]
    path = files.get(Path(name).stem)
    if path is None:
        raise DataError(f"{folder}: there is no audio file {name!r}, which the captions of Clotho name.")
    # Cells beyond the last column have no name.
    captions = _texts(value for key, value in row.items() if key and key.startswith("caption_"))
    return Sound("Clotho", name, path, captions, licences.get(name, "not in the metadata"))


def _csv(path: Path, columns: Sequence[str], encoding: str = "utf-8") -> list[dict[str, str]]:
    try:
        with path.open(encoding=encoding, newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Download it with Clotho v2.1.") from error
    if not rows or any(column not in rows[0] for column in columns):
        raise DataError(f"{path}: has no rows with {' and '.join(columns)}. Download it with Clotho v2.1.")
    return rows


def _audio_below(folder: Path) -> dict[str, Path]:
    return audio_by_stem(folder.rglob("*")) if folder.is_dir() else {}


def _ids(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the excluded ids cannot be read ({error}).") from error
    if path.suffix != ".json":
        return [line for line in text.splitlines() if line.strip()]
    try:
        return [str(value) for value in _leaves(json.loads(text))]
    except ValueError as error:
        raise DataError(f"{path}: the excluded ids are no JSON ({error}).") from error


def _leaves(content: Any) -> Iterator[object]:
    if isinstance(content, (list, dict)):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _leaves(value)
    else:
        yield content
