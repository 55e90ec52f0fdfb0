"""What corpora hold: sounds with captions, and backgrounds, in the folders that their authors publish."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_ALL_CHANNELS = 16
_POINTER = "version https://git-lfs"


@dataclass(frozen=True)
class Sound:
    """A recording with captions.

    Attributes:
        corpus: Where it is from.
        name: Its id there.
        path: The file.
        captions: What is said about it; at least one.
        licence: Of the recording.
    """

    corpus: str
    name: str
    path: Path
    captions: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Background:
    """A recording of a place.

    Attributes:
        corpus: Where it is from.
        name: Its id there.
        place: What is the same scene; channels of one place are not independent.
        path: The file.
        licence: Of the recording.
    """

    corpus: str
    name: str
    place: str
    path: Path
    licence: str


def wavcaps(folder: Path, subsets: Sequence[str], excluded: frozenset[str]) -> list[Sound]:
    """Return the sounds of some subsets of WavCaps whose ids are not excluded, in the order of their files.

    Sounds about which nothing is said are left out.

    Captions lie in `json_files/<subset>/<name>.json` or `<subset>/<name>.json`, audio in `<subset>/` or
    `<subset>_flac/`, under the id with any suffix.

    Raises:
        DataError: A file is missing or is not as published.
    """
    return [sound for subset in subsets for sound in _wavcaps_subset(folder, subset, excluded)]


def demand(folder: Path, places: Sequence[str]) -> list[Background]:
    """Return the channels of some environments of DEMAND, 16 for each.

    They lie in `<PLACE>/`, `<PLACE>_16k/<PLACE>/`, `<PLACE>_48k/<PLACE>/` or without the inner folder.

    Raises:
        DataError: A channel is missing.
    """
    return [
        Background(
            "DEMAND", f"{place} ch{channel:02d}", place, _channel(folder, place, channel), DEMAND_LICENCE
        )
        for place in places
        for channel in range(1, _ALL_CHANNELS + 1)
    ]


def clotho(folder: Path, split: str) -> list[Sound]:
    """Return the sounds of a split of Clotho: `<split>/*.wav`, `clotho_captions_<split>.csv` and metadata.

    Raises:
        DataError: A file is missing or is not as published.
    """
    said = folder / f"clotho_captions_{split}.csv"
    rows = _csv(said, ("file_name", "caption_1"))
    metadata = _csv(folder / f"clotho_metadata_{split}.csv", ("file_name", "license"), encoding="latin-1")
    licences = {row["file_name"]: row["license"] for row in metadata}
    files = _audio_below(folder / split)
    sounds = [_clotho_sound(row, licences, files, folder / split) for row in rows]
    for number, sound in enumerate(sounds, start=2):
        if not sound.captions:
            raise DataError(
                f"{said}: row {number}, {sound.name!r}, has no caption. Download it with Clotho v2.1."
            )
    return sounds


def tours(folder: Path, names: Sequence[str]) -> list[Background]:
    """Return Walking Tours, one audio file each, named as in `names`.

    Raises:
        DataError: A tour is missing.
    """
    files = _audio_below(folder)
    for name in names:
        if name not in files:
            raise DataError(f"{folder}: there is no audio file {name!r} ({', '.join(SUFFIXES)}).")
    return [Background("Walking Tours", name, name, files[name], TOURS_LICENCE) for name in names]


def excluded_ids(files: Iterable[str]) -> frozenset[str]:
    """Return the ids of some files: one on each line, or JSON with lists of them; YouTube ids without frame.

    Raises:
        DataError: A file cannot be read.
    """
    return frozenset(plain_id(each) for file in files for each in _ids(Path(file).expanduser()))


def plain_id(name: str) -> str:
    """Return an id as it is compared: WavCaps writes YouTube ids as Y<11 letters>.wav.

    >>> plain_id("Y---1_cCGK4M.wav")
    '---1_cCGK4M'
    """
    stem = re.sub(r"\.(wav|flac|mp3|ogg)$", "", name.strip())
    return stem[1:] if re.fullmatch(r"Y[\w-]{11}", stem) else stem


def listing(items: Sequence[Sound | Background]) -> str:
    """Return a hash of names, captions and sizes of files; the audio is not read for it."""
    digest = hashlib.sha256()
    for each in items:
        said = each.captions if isinstance(each, Sound) else (each.place,)
        digest.update(repr((each.corpus, each.name, said, each.path.stat().st_size)).encode())
    return digest.hexdigest()[:24]


def share_of(name: str) -> float:
    """Return a number from 0 to 1 that belongs to a name; what decides the split of a recording."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


# ---------------------------------------------------------------- WavCaps


def _wavcaps_subset(folder: Path, subset: str, excluded: frozenset[str]) -> Iterator[Sound]:
    file, licence = WAVCAPS[subset]
    path = next((each for each in _places(folder, subset, file) if each.is_file()), folder / subset / file)
    files = _audio_below(folder / subset) | _audio_below(folder / f"{subset}_flac")
    entries = {str(entry["id"]).removesuffix(".wav"): entry for entry in _entries(path)}
    wanted = {
        name: captions
        for name, entry in entries.items()
        if (captions := _captions(entry)) and plain_id(name) not in excluded
    }
    lacking = [name for name in wanted if name not in files]
    if lacking:
        raise DataError(
            f"{path}: {len(lacking):,} of {len(wanted):,} recordings have no audio file in "
            f"{folder / subset}: {some(lacking)}. Unpack the whole archive there, name in 'exclude' a file "
            "with the ids that you lack, or leave the subset out."
        )
    for name, captions in wanted.items():
        yield Sound(f"WavCaps {subset}", name, files[name], captions, licence)


def _places(folder: Path, subset: str, file: str) -> tuple[Path, ...]:
    return folder / subset / file, folder / "json_files" / subset / file, folder / file


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
    found = [value for name, value in entry.items() if re.fullmatch(r"caption_\d+", name)]
    if not found:
        raise KeyError("caption")
    return _texts(found)


def _texts(captions: Iterable[object]) -> tuple[str, ...]:
    """Return captions with single blanks, without those that say nothing."""
    cleaned = (" ".join(str(each).split()) for each in captions if each is not None)
    return tuple(each for each in cleaned if each)


# ---------------------------------------------------------------- others


def _channel(folder: Path, place: str, channel: int) -> Path:
    name = f"ch{channel:02d}.wav"
    inner = [
        folder / outer / inside / name
        for outer in (place, f"{place}_16k", f"{place}_48k")
        for inside in ("", place)
    ]
    found = next((each for each in inner if each.is_file()), None)
    if found is None:
        raise DataError(
            f"{folder / place}: there is no {name}. Unpack {place}_16k.zip or {place}_48k.zip of DEMAND "
            "there."
        )
    return found


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
        return [str(each) for each in _flat(json.loads(text))]
    except ValueError as error:
        raise DataError(f"{path}: the excluded ids are no JSON ({error}).") from error


def _flat(content: Any) -> Iterator[object]:
    if isinstance(content, (list, dict)):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _flat(each)
    else:
        yield content
